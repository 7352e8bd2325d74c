/** Every bound of the system, with why. */
export const limits = {
  /** Of a run. Lanes bound the world size; docs/scale.md says what was tried. */
  maxWorkers: 1024,
  /** ZeroMQ sockets of a process: one and its monitor for each link, and as many again while links change. */
  maxSockets: 16_384,
  /** More processes on one host are a typing error, not a plan. */
  maxLocalWorkers: 64,
  /** Of a pipeline: a stage has a layer with parameters at least, and a bubble as long as all the others together. */
  maxStages: 64,
  /** A lane without a sample computes nothing, so more lanes than this only cost. */
  maxLanes: 1024,
  /** Global batch; keeps the reduced sample checksums exact in float32 (see sample-checksum.ts). */
  maxBatchSize: 4096,
  /** Noise of a whole batch lies in a worker's memory at once. */
  maxLatentSize: 4096,
  /** Gradients wait for their neighbours up to so many bytes: a smaller bucket costs more to send than it gains. */
  bucketBytes: 1 << 20,
  /** Of a gradient of so many bytes the factors may travel in its place, and a rank makes pieces of so many of it. */
  wideBytes: 8 << 20,
  factorPieceBytes: 1 << 20,
  /** Rows of other ranks that a rank multiplies too: more cost more than moving the gradient, at 170 GFLOP/s and a byte a nanosecond. */
  factorRows: 256,
  /** Bytes of one data message: large enough to amortise ZeroMQ's cost, small enough to pipeline. */
  segmentBytes: 2 << 20,
  /** Segments on the way from one rank to another in a direct all-reduce: while one is added, the next comes. */
  directWindow: 2,
  /** A payload up to this travels in its message, also between workers of one host: a file costs two calls more. */
  inlineBytes: 16 << 10,
  /** Bytes that a rank may get from all others in an all-reduce of one hop, and ranks of its group (algorithm.ts). */
  exchangeBytes: 1 << 20,
  exchangeRanks: 16,
  /** The same between main threads of one host, where a frame costs microseconds; and the bytes of one there. */
  hostExchangeBytes: 4 << 20,
  hostSegmentBytes: 1 << 20,
  /** Addresses for what is mapped of the files of one host; what does not fit is read and written. */
  hostWindowBytes: 256 << 20,
  /** Bytes that a worker may have at the hub of a star without an answer; the hub holds so much for each worker. */
  hubWindowBytes: 8 << 20,
  /** A link is measured with a frame of this size, by each rank to the ranks 1, 2, 4 … behind it, for so long at most. */
  probeBytes: 256 << 10,
  probeMs: 1000,
  /** Room in a worker's memory for parts on their way into a sum; small enough to stay in a core's cache. */
  sumScratchBytes: 512 << 10,
  /** Elements of which top-k compression sends a part: positions fit two bytes, and the block a core's first cache. */
  topKBlockElements: 4096,
  /** Connections that carry the large payloads of one link between hosts, in groups of fewer ranks than the next line says. */
  streamsPerLink: 2,
  manyRanks: 8,
  /** More in an offer are an error of the sender. */
  maxStreamsPerLink: 8,
  /** Memory for payloads on such a connection is handed out in pieces, and so many are kept for use again. */
  pieceBytes: 256 << 10,
  pooledPieces: 64,
  /** A connection that ended while its generation goes on so long has lost frames. */
  streamPatienceMs: 2000,
  /** Ranks that a rank tells it has waited for, with its commits: the longest waits are enough to find a slow link. */
  latePeers: 16,
  /** A control frame: the largest is a welcome with the chunk list, or one blob of 4 MiB. */
  maxControlFrameBytes: 8 << 20,
  /** Frames of collectives that this rank has not started yet; a peer can be one step ahead at most. */
  maxEarlyBytes: 256 << 20,
  /** Checkpoint pieces on the wire without an acknowledgement. */
  checkpointWindow: 8,
  checkpointPieceBytes: 1 << 20,
  /** Blobs that a worker asks for at once. */
  blobWindow: 8,
  /** The worker's chunk cache on disk. */
  chunkCacheBytes: 2 << 30,
  /** Of a data set in the coordinator's memory: what one buffer holds on every platform. */
  datasetBytes: 2 ** 31 - 1,
  /** Files of a folder, and bytes and pixels of one: more are a mistake, or an attack. */
  datasetFiles: 1_000_000,
  datasetFileBytes: 256 << 20,
  imagePixels: 100_000_000,
  /** Side of an image from a folder; a dense layer over more has no place in a worker. */
  maxImageSize: 512,
  /** WAV files that `generate` writes beside a picture; each takes a tenth of a second to find its phases. */
  generatedSounds: 100,
  /** A run that had to be rolled back so often does not learn: its options are wrong. */
  maxRollbacks: 5,
  /** Lines of events or metrics that are kept while there is no room on the disk. */
  unwrittenCharacters: 4 << 20,
  /** A journal segment; about 100,000 steps. A snapshot takes its place then, or at a checkpoint. */
  journalSegmentBytes: 64 << 20,
  /** A piece of state between workers, with its digest, is one data message. */
  statePieceBytes: 1 << 19,
  /** A peer that is not reached within this time does not take part. */
  connectMs: 5000,
  /** Records of a thread that wait to be sent, a power of two; about a second of the fastest steps (trace-record.ts). */
  traceRecords: 1 << 13,
  /** Records in one message. */
  traceMessageRecords: 1 << 12,
  /** trace.json; Perfetto opens it in seconds. */
  traceBytes: 128 << 20,
  /** Steps of each generation that a trace may show. */
  traceSteps: 100_000,
  /** Samples of a worker's clock of which the best counts: one each second. */
  clockSamples: 64,
  /** Pieces of state on the way. */
  stateWindow: 16,
  /** Commits that the coordinator has not noted yet; a group that reaches it waits for the coordinator. */
  maxUnnotedSteps: 8192,
  /** Images of an evaluation: more than the neighbours that are counted, and about as many as a training set has. */
  minEvaluationSamples: 100,
  maxEvaluationSamples: 60_000,
  /** So long does a group step without a word from the coordinator (docs/adr/0005-recovery.md). */
  orphanMs: 60_000,
  /** Values of a metric's label that come from elsewhere, such as names of scalars; further ones are told as "other". */
  metricNames: 64,
  /** Connections to a worker's /metrics: it has other things to do. */
  scrapers: 8,
  /** Points of a line on the page: from so many to twice as many, about the pixels of a chart. */
  pageBuckets: 500,
  /** Events in the page's log, and as many incidents, alarms and evaluations. */
  pageEvents: 500,
  /** Lines of logs that the page keeps, those that matter and others; files that it reads, and bytes of one that was there before. */
  pageLogLines: 300,
  pageLogs: 100,
  pageLogBytes: 64 << 10,
  /** Sample grids that the page's slider goes through. */
  pageSamples: 2000,
  /** Open pages of a run. */
  pageReaders: 32,
  /** A reader with more than this still to be sent is passed over; after so many seconds it is cut off. */
  pageWaitingBytes: 256 << 10,
  pagePassedOver: 60,
  /** Event file for TensorBoard. */
  tensorboardBytes: 512 << 20,
  /** A log in the run's folder, which then is begun anew; one older is kept beside it. */
  logBytes: 4 << 20,
  /** A line of somebody else's words in it. */
  logLineCharacters: 4000,
  /** Body of a request to do something: a name. */
  actionBytes: 4096,
  /** Trials of a sweep, options that it searches, and values of one: more are a typing error, or months of training. */
  sweepTrials: 1000,
  sweepOptions: 12,
  sweepValues: 100,
} as const
