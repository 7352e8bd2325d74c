import { chart, type Dashboard, increase, line, of, quantile, rate, stat } from './dashboard.ts'

const run: Dashboard = {
  uid: 'ringleader',
  title: 'Ringleader: run',
  description: 'Is the run healthy, how fast is it, where does the time go',
  panels: [
    stat('Step', 'Number of the last committed step', 'none', of('ringleader_step')),
    stat('Epoch', 'Epoch of the last committed step', 'none', of('ringleader_epoch')),
    stat('World size', 'Workers in the group', 'none', of('ringleader_world_size_workers')),
    stat('Images a second', 'Over all sittings of the run', 'short', of('ringleader_images_per_second')),
    stat('Alarms', 'Alarms that are raised now', 'none', `sum(${of('ringleader_alarm')})`),
    stat(
      'Age of the checkpoint',
      'So much is lost where all workers go at once',
      's',
      `time() - ${of('ringleader_checkpoint_timestamp_seconds')}`,
    ),
    chart(
      'Throughput',
      'Images that committed steps consumed',
      'short',
      line('images/s', rate('ringleader_images_total')),
    ),
    chart(
      'Step time',
      'Duration of a committed step',
      's',
      line('median', quantile(0.5, 'ringleader_step_seconds')),
      line('95 %', quantile(0.95, 'ringleader_step_seconds')),
    ),
    {
      ...chart(
        'Parts of a step',
        'Mean seconds a step, on the rank that told first',
        's',
        line(
          '{{phase}}',
          `sum by (phase) (${rate('ringleader_step_phase_seconds_sum')}) / sum by (phase) (${rate('ringleader_step_phase_seconds_count')})`,
        ),
      ),
      stacked: true,
    },
    chart(
      'All-reduce',
      'Part of the time of stepping in which a rank waits for all-reduce',
      'percentunit',
      line(
        'all-reduce',
        `sum(${rate('ringleader_allreduce_seconds_total')}) / sum(${rate('ringleader_step_seconds_sum')})`,
      ),
    ),
    chart(
      'All-reduce traffic',
      'Gradient bytes that one rank sent, by wire and algorithm',
      'Bps',
      line('{{wire}} {{algorithm}}', rate('ringleader_allreduce_sent_bytes_total')),
    ),
    chart(
      'Data served',
      'Data and state that the coordinator sent',
      'Bps',
      line('served', rate('ringleader_data_served_bytes_total')),
    ),
    chart(
      'Checkpoints',
      'Size of the newest checkpoint',
      'bytes',
      line('size', of('ringleader_checkpoint_size_bytes')),
    ),
    chart(
      'Coordinator',
      'Lag of its event loop',
      's',
      line('99 %', of('nodejs_eventloop_lag_p99_seconds')),
      line('mean', of('nodejs_eventloop_lag_mean_seconds')),
    ),
  ],
}

const workers: Dashboard = {
  uid: 'ringleader-workers',
  title: 'Ringleader: workers',
  description: 'Who is in the group, and who is slow',
  panels: [
    chart(
      'Members',
      'Workers that the coordinator knows, by their state',
      'none',
      line('{{state}}', of('ringleader_members')),
    ),
    chart(
      'Ranks',
      'Position of each worker in the group; -1: in none',
      'none',
      line('{{worker}}', of('ringleader_rank')),
    ),
    chart(
      'Step time',
      'Median of each worker',
      's',
      line('{{worker}}', quantile(0.5, 'ringleader_rank_step_seconds', 'worker, ')),
    ),
    chart(
      'Waiting for all-reduce',
      'Part of the time of stepping; a rank that waits little is the one that the others wait for',
      'percentunit',
      line(
        '{{worker}}',
        `${rate('ringleader_rank_allreduce_seconds_total')} / ${rate('ringleader_rank_step_seconds_sum')}`,
      ),
    ),
    chart(
      'Overlap',
      'Part of the all-reduce that was hidden behind computation; none where main threads reduce',
      'percentunit',
      line(
        '{{worker}}',
        `${rate('ringleader_rank_allreduce_overlapped_seconds_total')} / (${rate('ringleader_rank_allreduce_overlapped_seconds_total')} + ${rate('ringleader_rank_allreduce_seconds_total')})`,
      ),
    ),
    chart(
      'Backward pass',
      'Mean seconds a step of each worker',
      's',
      line(
        '{{worker}}',
        `${rate('ringleader_rank_step_phase_seconds_sum', 'phase="backward"')} / ${rate('ringleader_rank_step_phase_seconds_count', 'phase="backward"')}`,
      ),
    ),
    chart(
      'Sent',
      'Gradient bytes of each worker',
      'Bps',
      line('{{worker}}', rate('ringleader_rank_allreduce_sent_bytes_total')),
    ),
    chart('Steps', 'Steps a second of each worker', 'ops', line('{{worker}}', rate('ringleader_rank_steps_total'))),
    chart(
      'Early frames',
      'Bytes that came before a worker was ready for them; the others are ahead of it',
      'bytes',
      line('{{worker}}', of('ringleader_rank_early_bytes')),
    ),
    chart(
      'Unnoted steps',
      'Commits that the coordinator has not on its disk yet',
      'none',
      line('{{worker}}', of('ringleader_rank_unnoted_steps')),
    ),
    chart(
      'Memory',
      'Resident memory, as workers tell it',
      'bytes',
      line('{{worker}}', of('ringleader_worker_resident_memory_bytes')),
    ),
    chart('Tensors', 'Tensors that each worker holds', 'none', line('{{worker}}', of('ringleader_rank_tensors'))),
    chart(
      'Processor',
      'Cores that each process uses',
      'short',
      line('{{instance}} {{worker}}', rate('process_cpu_seconds_total')),
    ),
    chart(
      'Dropped frames',
      'Frames of older generations, and malformed ones, since each worker started',
      'none',
      line('{{worker}} stale', of('ringleader_worker_stale_frames')),
      line('{{worker}} malformed', of('ringleader_worker_malformed_frames')),
    ),
  ],
}

const stability: Dashboard = {
  uid: 'ringleader-stability',
  title: 'Ringleader: stability and quality',
  description: 'Does the model learn, and how good is it',
  panels: [
    chart('Losses', 'Of the last committed step', 'short', line('{{name}}', of('ringleader_loss'))),
    chart(
      'Gradient norms',
      'L2 norm of the last reduced gradient',
      'short',
      line('{{name}}', of('ringleader_gradient_norm')),
    ),
    chart('Alarms', 'What goes wrong, while it does', 'none', line('{{kind}}', `${of('ringleader_alarm')} == 1`)),
    chart(
      'Balance of the networks',
      'Images that the discriminator is right about; of a critic, pairs',
      'percentunit',
      line('{{name}}', of('ringleader_stability', 'name=~".*Accuracy"')),
    ),
    chart(
      'Looks at what the model makes',
      'Variety of the samples by that of the data, and shares of classes, latent dimensions and waves of the loss in use',
      'percentunit',
      line('{{name}}', of('ringleader_stability', 'name=~"diversity|classEntropy|activeShare|oscillation"')),
    ),
    chart(
      'Modes and active units',
      'Digits that the classifier sees in 100 samples; latent dimensions in use',
      'none',
      line('{{name}}', of('ringleader_stability', 'name=~"modes|activeUnits"')),
    ),
    chart(
      'Speed of the weights',
      'How far a step moves the weights of each network, by their norm; 0.001 is usual',
      'short',
      line('{{name}}', of('ringleader_stability', 'name=~".*UpdateRatio"')),
    ),
    chart(
      'Norms of the weights',
      'L2 norm of the weights of each network',
      'short',
      line('{{name}}', of('ringleader_stability', 'name=~".*WeightNorm"')),
    ),
    chart(
      'Skipped steps',
      'Steps whose gradient was not finite, or too large',
      'ops',
      line('skipped', rate('ringleader_steps_skipped_total')),
    ),
    chart(
      'Quality',
      'Figures of the last evaluation; they compare where the classifier is the same',
      'short',
      line('{{figure}}', of('ringleader_evaluation')),
    ),
    chart(
      'Evaluated step',
      'Step of the checkpoint that was evaluated last, beside the last step',
      'none',
      line('evaluated', of('ringleader_evaluation_step')),
      line('committed', of('ringleader_step')),
    ),
  ],
}

const mean = (phase: string) =>
  `sum by (kind) (${increase('ringleader_incident_seconds_sum', `phase="${phase}"`)}) / sum by (kind) (${increase('ringleader_incident_seconds_count', `phase="${phase}"`)})`

const incidents: Dashboard = {
  uid: 'ringleader-incidents',
  title: 'Ringleader: incidents',
  description: 'What was lost, and what it cost',
  panels: [
    chart('World size', 'Workers in the group', 'none', line('workers', of('ringleader_world_size_workers'))),
    chart(
      'Generations',
      'Number of the group: each change of membership makes a new one',
      'none',
      line('generation', of('ringleader_generation')),
    ),
    chart(
      'Incidents',
      'Workers that were lost, by how',
      'none',
      line('{{kind}}', increase('ringleader_incidents_total')),
    ),
    chart('Phase', 'What the group is doing', 'none', line('{{phase}}', of('ringleader_phase'))),
    chart('Until it was noticed', 'Mean of the incidents at that time', 's', line('{{kind}}', mean('detect'))),
    chart('Until the group started', 'Mean of the incidents at that time', 's', line('{{kind}}', mean('reform'))),
    chart('Until the first commit', 'Mean of the incidents at that time', 's', line('{{kind}}', mean('firstCommit'))),
    chart(
      'Cost',
      'Seconds a second that incidents take from stepping',
      'percentunit',
      line('incidents', rate('ringleader_incident_cost_seconds_total')),
    ),
    chart(
      'Steps computed again',
      'Steps that nobody held any more',
      'none',
      line('steps', increase('ringleader_steps_recomputed_total')),
    ),
    chart('Alarms', 'Times that an alarm was raised', 'none', line('{{kind}}', increase('ringleader_alarms_total'))),
    chart(
      'Malformed messages',
      'Control messages that the coordinator could not decode',
      'none',
      line('messages', increase('ringleader_malformed_messages_total')),
    ),
  ],
}

/** By the names of their files. */
export const dashboards: Readonly<Record<string, Dashboard>> = {
  ringleader: run,
  'ringleader-workers': workers,
  'ringleader-stability': stability,
  'ringleader-incidents': incidents,
}
