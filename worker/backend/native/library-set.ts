import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { usage } from '../../../shared/core/config.ts'
import { messageOf } from '../../../shared/core/errors.ts'

/** A wheel that pip fetches from the user's own index; it is taken if its bytes have this SHA-256. */
export interface Wheel {
  readonly requirement: string
  readonly sha256: string
  readonly megabytes: number
}

/** What a native library is made of. */
export interface LibrarySet {
  readonly kind: 'cpu' | 'gpu'
  /** Of TensorFlow. */
  readonly version: string
  /** TensorFlow's is the first. */
  readonly wheels: readonly Wheel[]
  /** Of what is kept in the cache. */
  readonly megabytes: number
}

export const cpuLibrary: LibrarySet = {
  kind: 'cpu',
  version: '2.15.1',
  wheels: [
    {
      requirement: 'tensorflow-cpu==2.15.1',
      sha256: '54660c074d7241a503e81edfd9f5ef5af88f64051b72e2945f26318c790f2d26',
      megabytes: 207,
    },
  ],
  megabytes: 614,
}

/**
 * CUDA 12.2 and cuDNN 8.9: the wheels of tensorflow's extra `and-cuda` but two whose libraries it never opens for a single card,
 * nvidia-curand-cu12 and nvidia-nccl-cu12.
 */
const pinnedGpuLibrary: LibrarySet = {
  kind: 'gpu',
  version: '2.15.1',
  wheels: (
    [
      ['tensorflow==2.15.1', 'bb0edd69103c154245c5f209f0507355cc68ba7e4de350084bc31edc562478e4', 475],
      ['nvidia-cublas-cu12==12.2.5.6', 'f448d8db463f9a2c7dd9a1e607c0961d3e95f825b86839c5882f7d073d406df0', 418],
      ['nvidia-cuda-cupti-cu12==12.2.142', 'ce68d1009dd14215e38ed49643d31374c71d6fea381181cb0b9da7f19dfd1624', 14],
      ['nvidia-cuda-nvcc-cu12==12.2.140', 'c6ff4ae7a636eb6cab7621191e19ac3779690686bbcf52c04d8b1ca2944e1e27', 21],
      ['nvidia-cuda-nvrtc-cu12==12.2.140', 'b1cdcae6443cb7cdcfb5d1bf51896a148c9f82f9e65b27db9ab095eaed689aa7', 23],
      ['nvidia-cuda-runtime-cu12==12.2.140', 'acb9cb7e44594a3512533497ea790d9f0b0e399abcc888584c157d1ffa080e41', 1],
      ['nvidia-cudnn-cu12==8.9.4.25', '9f882d5b11753c566fd32427839089eb4f8ba7a58c28446ad359e32c40229723', 720],
      ['nvidia-cufft-cu12==11.0.8.103', '72e961e578f9be9e316ccb4db8652c421dd0b57442624faa71061d452f449a67', 99],
      ['nvidia-cusolver-cu12==11.5.2.141', '5a85c4653ce34339a5688137f494a0f903e0f0532418550998167f00844161da', 125],
      ['nvidia-cusparse-cu12==12.1.2.141', '4e13d6a51d2303dcb2a023ba09546811161f0334fc64e13689397bbd3b1eb126', 195],
      ['nvidia-nvjitlink-cu12==12.2.140', '95635cafbf9f96c38bea5200ab145a2e6aefbb5405e0b04c1e4ba54df2d84ec9', 20],
    ] as const
  ).map(([requirement, sha256, megabytes]) => ({ requirement, sha256, megabytes })),
  megabytes: 3651,
}

/** Names a file with other wheels for GPUs; they go to a folder of their own, and `setup` says that they are others. */
export const otherWheels = 'RINGLEADER_GPU_WHEELS'

const otherLibrary = z.object({
  version: z.string(),
  megabytes: z.number(),
  wheels: z
    .array(
      z.object({
        requirement: z.string().regex(/^[\w.-]+==[\w.]+$/),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
        megabytes: z.number(),
      }),
    )
    .min(1)
    .max(32),
})

export function gpuLibrary(): LibrarySet {
  const path = process.env[otherWheels]
  if (path === undefined || path === '') return pinnedGpuLibrary
  try {
    return { kind: 'gpu', ...otherLibrary.parse(JSON.parse(readFileSync(path, 'utf8'))) }
  } catch (error) {
    throw usage(
      `${otherWheels}=${path} is no list of wheels (${messageOf(error)}); unset it, or write version, megabytes and wheels`,
    )
  }
}

export function librarySet(kind: LibrarySet['kind']): LibrarySet {
  return kind === 'gpu' ? gpuLibrary() : cpuLibrary
}
