import { context } from 'zeromq'
import { limits } from '../core/limits.ts'

// Counts only before the first socket of the process; libzmq's own bound is 1023, which 340 links with their monitors reach.
context.maxSockets = limits.maxSockets
