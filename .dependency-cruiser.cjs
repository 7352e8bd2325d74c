/** Imports go coordinator → shared, worker → shared, cli → all; never sideways, never in cycles. */
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'shared-stands-alone',
      severity: 'error',
      from: { path: '^shared/' },
      to: { path: '^(cli|coordinator|worker)/' },
    },
    {
      name: 'coordinator-to-shared',
      severity: 'error',
      from: { path: '^coordinator/' },
      to: { path: '^(cli|worker)/' },
    },
    { name: 'worker-to-shared', severity: 'error', from: { path: '^worker/' }, to: { path: '^(cli|coordinator)/' } },
    {
      name: 'zeromq-in-transport',
      severity: 'error',
      from: { pathNot: '^shared/transport/' },
      to: { path: 'node_modules/zeromq' },
    },
    {
      name: 'tensorflow-in-backend',
      severity: 'error',
      from: { pathNot: '^worker/backend/' },
      to: { path: 'node_modules/@tensorflow' },
    },
    {
      name: 'prom-client-in-registry',
      severity: 'error',
      from: { pathNot: '^shared/metrics/metric-registry' },
      to: { path: 'node_modules/prom-client' },
    },
    { name: 'pino-in-log', severity: 'error', from: { pathNot: '^shared/log/' }, to: { path: 'node_modules/pino' } },
    { name: 'yargs-in-cli', severity: 'error', from: { pathNot: '^cli/' }, to: { path: 'node_modules/yargs' } },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^dist/|assembly/)' },
  },
}
