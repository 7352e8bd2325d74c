import { PNG } from 'pngjs'

export interface ImageShape {
  readonly height: number
  readonly width: number
  readonly channels: number
}

/**
 * A PNG of images [count, height, width, channels] in 0…1, `columns` in a row, a dark pixel between them. One channel is grey, three are
 * colours; with another number they are the frames of a film, a row of its own.
 */
export function encodeImageGrid(images: Float32Array, shape: ImageShape, columns = 10): Buffer {
  const { height, width, channels } = shape
  if (channels !== 1 && channels !== 3)
    return encodeImageGrid(framesOf(images, channels, height * width), { height, width, channels: 1 }, channels)
  const size = height * width * channels
  const count = images.length / size
  const gridRows = Math.ceil(count / columns)
  const gridColumns = Math.min(columns, count)
  const png = new PNG({
    width: gridColumns * (width + 1) + 1,
    height: gridRows * (height + 1) + 1,
    colorType: channels === 1 ? 0 : 2,
  })
  png.data.fill(0x40)
  for (let pixel = 3; pixel < png.data.length; pixel += 4) png.data[pixel] = 255
  for (let index = 0; index < count; index++) {
    const left = (index % columns) * (width + 1) + 1
    const top = Math.floor(index / columns) * (height + 1) + 1
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const source = index * size + (y * width + x) * channels
        const target = ((top + y) * png.width + left + x) * 4
        for (let channel = 0; channel < 3; channel++) {
          const value = images[source + Math.min(channel, channels - 1)] ?? 0
          png.data[target + channel] = Math.round(Math.min(1, Math.max(0, value)) * 255)
        }
      }
    }
  }
  return PNG.sync.write(png, { colorType: channels === 1 ? 0 : 2 })
}

/** [count, height, width, channels] → [count, channels, height, width] */
function framesOf(images: Float32Array, channels: number, pixels: number): Float32Array {
  const frames = new Float32Array(images.length)
  for (const [at, value] of images.entries()) {
    const [film, place] = [Math.floor(at / (pixels * channels)), Math.floor(at / channels) % pixels]
    frames[(film * channels + (at % channels)) * pixels + place] = value
  }
  return frames
}
