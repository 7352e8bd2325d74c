import { closeSync, openSync, readdirSync } from 'node:fs'
import { expect, it } from 'vitest'
import { encodeOffer } from '../../shared/protocol/file-lane.ts'
import { OwnFile, PeerFile } from '../../shared/transport/lane-file.ts'

it('a file between workers of one host has no name, and is read only by whoever finds its nonce in it', () => {
  const before = readdirSync('/dev/shm').length
  const own = OwnFile.create()
  if (!own) throw new Error('this host has /dev/shm')
  const { offer } = own
  expect(readdirSync('/dev/shm').length).toBe(before)
  const place = { plane: 3, offset: 2 ** 32 - 4 }
  own.write(Uint8Array.of(1, 2, 3, 4), place)
  const peer = PeerFile.open(encodeOffer(offer))
  const target = new Uint8Array(new SharedArrayBuffer(2))
  peer?.payload(place, 4).copyTo(target, 1)
  expect([...target]).toEqual([2, 3])

  const other = openSync('/dev/null', 'r')
  expect(PeerFile.open(encodeOffer({ ...offer, descriptor: other }))).toBeNull()
  expect(PeerFile.open(encodeOffer({ ...offer, nonce: offer.nonce.map((byte) => byte ^ 1) }))).toBeNull()
  expect(PeerFile.open(encodeOffer({ ...offer, processId: 2 ** 31 - 1 }))).toBeNull()
  closeSync(other)

  own.close()
  peer?.payload(place, 4).copyTo(target) // who has opened it may read on
  expect(() => peer?.payload({ plane: 4, offset: 0 }, 4).copyTo(target)).toThrow('shorter')
  const late = peer?.payload(place, 4)
  peer?.close()
  expect(() => late?.copyTo(target)).toThrow('over')
  expect(PeerFile.open(encodeOffer(offer))).toBeNull()
})
