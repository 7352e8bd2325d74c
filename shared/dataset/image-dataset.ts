export interface Split {
  readonly count: number
  /** Pixels 0…255, [count, height, width, channels]. */
  readonly images: Uint8Array
  /** One of each image, 0…255; empty where there are none. */
  readonly labels: Uint8Array
  /** Where each channel is an image of its own class: [count, channels]. */
  readonly channelLabels?: Uint8Array
}

export interface ImageDataset {
  readonly name: string
  readonly height: number
  readonly width: number
  readonly channels: number
  readonly train: Split
  readonly test: Split
}
