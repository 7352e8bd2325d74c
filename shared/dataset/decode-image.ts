import { decode as decodeJpeg } from 'jpeg-js'
import { PNG } from 'pngjs'
import { messageOf, usage } from '../core/errors.ts'
import { limits } from '../core/limits.ts'

/** Pixels as red, green, blue, opacity, 0…255: [height, width, 4]. */
export interface Picture {
  readonly height: number
  readonly width: number
  readonly data: Uint8Array
}

const pngSignature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])

/** Decodes PNG or JPEG, by what is in the file and not by its name. Errors name the file. */
export function decodeImage(bytes: Uint8Array, name: string): Picture {
  const isPng = pngSignature.equals(bytes.subarray(0, 8))
  if (!isPng && !(bytes[0] === 0xff && bytes[1] === 0xd8)) throw unreadable(name, 'it is neither PNG nor JPEG')
  if (isPng) {
    // width and height stand at a fixed place: a bomb is refused before it is unpacked
    const header = Buffer.from(bytes.subarray(0, 24))
    if (header.length < 24) throw unreadable(name, 'it is cut off')
    if (header.readUInt32BE(16) * header.readUInt32BE(20) > limits.imagePixels)
      throw unreadable(name, `it has more than ${limits.imagePixels / 1e6} million pixels`)
  }
  try {
    return isPng ? PNG.sync.read(Buffer.from(bytes)) : jpeg(bytes)
  } catch (error) {
    throw unreadable(name, messageOf(error))
  }
}

function jpeg(bytes: Uint8Array): Picture {
  return decodeJpeg(bytes, {
    useTArray: true,
    formatAsRGBA: true,
    tolerantDecoding: false,
    maxResolutionInMP: limits.imagePixels / 1e6,
    maxMemoryUsageInMB: 2048,
  })
}

function unreadable(name: string, reason: string) {
  return usage(`${name} cannot be read as an image (${reason}); mend it or take it out of the folder`)
}
