/** What a scalar of a step measures, by the end of its name: `generatorLoss`, `generatorGradientNorm`, `encoderUpdateRatio` … */
export type ScalarKind = 'loss' | 'gradientNorm' | 'weightNorm' | 'updateRatio' | 'accuracy' | 'sparsity'

const endings = [
  ['GradientNorm', 'gradientNorm'],
  ['WeightNorm', 'weightNorm'],
  ['UpdateRatio', 'updateRatio'],
  ['Accuracy', 'accuracy'],
  ['Sparsity', 'sparsity'],
] as const

export function scalarKind(name: string): ScalarKind {
  return endings.find(([ending]) => name.endsWith(ending))?.[1] ?? 'loss'
}
