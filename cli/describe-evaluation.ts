import type { EvaluatedImages } from './evaluate-file.ts'
import type { EvaluatedCheckpoint } from './evaluate-folder.ts'

/** A figure to a line, with what tells good from bad beside it. */
export function describeEvaluation(evaluated: EvaluatedCheckpoint | EvaluatedImages): string {
  const { dataset, seconds, classifier, samples, likelihood } = evaluated
  const lines: [string, string, string][] = []
  if (samples) {
    const { nearest, histogram } = samples
    const each = histogram.length > 100 ? 'with one sample at least' : `samples of each: ${histogram.join(' ')}`
    lines.push(
      ['FID', fixed(samples.fid), `${fixed(samples.fidRelative, 4)} of the real features' variance`],
      ['KID', `${fixed(samples.kid, 4)} ± ${fixed(samples.kidDeviation, 4)}`, 'real images: 0'],
      ['Inception Score', fixed(samples.inceptionScore), `real images: ${fixed(samples.realInceptionScore)}`],
      ['precision', fixed(samples.precision, 3), 'says nothing alone: noise may have 1'],
      ['recall', fixed(samples.recall, 3), ''],
      ['density', fixed(samples.density, 3), ''],
      ['coverage', fixed(samples.coverage, 3), ''],
      ['modes', `${samples.modes} of ${histogram.length}`, each],
      ['class KL', fixed(samples.classKl, 4), 'nats from the training labels'],
      [
        'memorised',
        fixed(nearest.memorised, 3),
        `real images: 0.01; nearest training image at ${fixed(nearest.median)}, of real ones at ${fixed(nearest.realMedian)}`,
      ],
    )
  }
  if (likelihood)
    lines.push(
      ['−ELBO', fixed(likelihood.negativeElbo), `nats an image, over ${likelihood.images} test images`],
      ['reconstruction', fixed(likelihood.reconstruction), ''],
      ['KL', fixed(likelihood.kl), ''],
      [`−IWAE-${likelihood.importanceSamples}`, fixed(likelihood.negativeIwae), 'a tighter bound on −log p(x)'],
    )
  lines.push([
    'classifier',
    `${fixed(100 * classifier.testAccuracy)} %`,
    `of the test images right; SHA-256 ${classifier.sha256}`,
  ])
  const what = samples ? `${samples.samples} samples beside ${samples.realSamples} test images` : 'test images'
  const whose = 'model' in evaluated ? `${evaluated.model} at step ${evaluated.step}` : evaluated.images
  const head = `${whose}: ${what} of ${dataset}, ${Math.round(seconds)} s\n`
  return (
    head +
    lines.map(([name, value, note]) => `  ${name.padEnd(16)} ${value.padEnd(18)} ${note}`.trimEnd()).join('\n') +
    '\n'
  )
}

const fixed = (value: number, digits = 2): string => value.toFixed(digits)
