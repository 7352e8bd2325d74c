import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Member } from '../../coordinator/membership/member.ts'
import { type Members, noMembers, rankIn } from '../../coordinator/membership/members.ts'
import { newMember } from '../../coordinator/membership/state.ts'

const member = (id: number, step: number): Member => ({ ...newMember(`w${id}`, 250, 0), step })

it('members are a map that keeps the order in which they came, and never changes', () => {
  const change = fc.record({ id: fc.nat({ max: 99 }), step: fc.nat({ max: 9 }), goes: fc.boolean() })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 200 }), (changes) => {
      let members: Members = noMembers
      const model = new Map<string, Member>()
      for (const { id, step, goes } of changes) {
        const before = members
        const [size, kept] = [before.size, before.get(`w${id}`)]
        members = goes ? members.without(`w${id}`) : members.with(member(id, step))
        if (goes) model.delete(`w${id}`)
        else model.set(`w${id}`, member(id, step))
        expect([before.size, before.get(`w${id}`)]).toEqual([size, kept])
      }
      expect(members.size).toBe(model.size)
      expect(members.values()).toEqual([...model.values()])
      for (const id of Array(100).keys()) {
        expect(members.get(`w${id}`)).toEqual(model.get(`w${id}`))
        expect(members.has(`w${id}`)).toBe(model.has(`w${id}`))
      }
      const replaced = members.withAll(
        members
          .values()
          .slice(3)
          .map((some) => ({ ...some, step: 77 })),
      )
      expect(replaced.values().map(({ step }) => step === 77)).toEqual(members.values().map((_, place) => place >= 3))
    }),
    { numRuns: 200 },
  )
})

it('ranks are places in a group', () => {
  const group = ['b', 'a']
  expect(['a', 'b', 'c'].map((id) => rankIn(group, id))).toEqual([1, 0, -1])
})
