/**
 * The configuration: every key with its type, its range, its default and what it is for. Files, environment
 * and flags are held against this one schema; the table in docs/operations.md and the JSON Schema for editors
 * come from it.
 *
 * Ranges are those of the options that the values end up in, which are checked there again: programs that use
 * `open` have no configuration.
 */

import * as v from 'valibot';
import { CHECKPOINT_DEFAULTS } from '../../checkpoint/checkpoint-options.ts';
import { BUFFERED_DEFAULTS } from '../../log/durability.ts';
import { LOG_DEFAULTS } from '../../log/log-options.ts';
import {
  BYTES_PER_SECOND_MAX_MIN,
  CYCLE_MS_MAX,
  CYCLE_MS_MIN,
  SCRUB_DEFAULTS,
} from '../../node/scrub-options.ts';
import { LOCAL_DEFAULTS } from '../../ordering/local-options.ts';
import {
  CONNECTIONS_MAX_DEFAULT,
  INPUT_BYTES_MAX_DEFAULT,
  OUTPUT_BYTES_MAX_DEFAULT,
  OUTPUT_TOTAL_BYTES_MAX_DEFAULT,
} from '../../server/redis-limits.ts';
import { TRACE_LEVELS } from '../trace-levels.ts';
import { bytes, choice, count, duration, flag, secret, text } from './value-schema.ts';

const KIB = 1024;
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

const redis = v.strictObject({
  host: v.optional(text('where the Redis port listens', 'an address'), '127.0.0.1'),
  port: v.optional(
    count('port of the Redis protocol; 0 takes a free one', { min: 0, max: 65_535 }, 'a port'),
    6401,
  ),
  password: v.optional(secret('what clients must say by AUTH; none when absent', 'a password')),
  passwordFile: v.optional(
    text('a file whose first line is the password: the way to keep it out of this one', 'a path'),
  ),
  connectionsMax: v.optional(
    count('clients above this are turned away', { min: 1, max: 1_000_000 }),
    CONNECTIONS_MAX_DEFAULT,
  ),
  outputBytesMax: v.optional(
    bytes('replies that one client has not taken; above it the client is dropped', {
      min: 2 * MIB,
      max: 4 * GIB,
    }),
    OUTPUT_BYTES_MAX_DEFAULT,
  ),
  outputTotalBytesMax: v.optional(
    bytes('the same of all clients together', { min: MIB, max: 64 * GIB }),
    OUTPUT_TOTAL_BYTES_MAX_DEFAULT,
  ),
  inputBytesMax: v.optional(
    bytes('unfinished requests of all clients together', { min: MIB, max: 64 * GIB }),
    INPUT_BYTES_MAX_DEFAULT,
  ),
});

const http = v.strictObject({
  host: v.optional(text('where metrics, health and status are told', 'an address'), '127.0.0.1'),
  port: v.optional(
    count('port for monitors, HTTP; 0 takes a free one; none when absent', { min: 0, max: 65_535 }, 'a port'),
  ),
});

const trace = v.strictObject({
  level: v.optional(
    choice('the least important lines that `--json` and `serve` print', TRACE_LEVELS),
    'info',
  ),
});

const log = v.strictObject({
  segmentBytes: v.optional(
    bytes('size of a log segment; two more are kept in reserve', {
      min: 64 * KIB,
      max: GIB,
      multipleOf: 4096,
    }),
    LOG_DEFAULTS.segmentBytes,
  ),
});

const durability = v.strictObject({
  kind: v.optional(
    choice('when a command is answered: once it is on disk, or once it is written and synced soon', [
      'synced',
      'buffered',
    ]),
    'synced',
  ),
  intervalMs: v.optional(
    duration('buffered: a sync begins so long after a write at the latest', { min: 1, max: 60_000 }),
    BUFFERED_DEFAULTS.intervalMs,
  ),
  commandsMax: v.optional(
    count('buffered: commands that a power cut may take at most', { min: 1, max: 1_000_000_000 }),
    BUFFERED_DEFAULTS.commandsMax,
  ),
  bytesMax: v.optional(
    bytes('buffered: bytes of the log that a power cut may take at most', { min: 64 * KIB, max: 256 * MIB }),
    BUFFERED_DEFAULTS.bytesMax,
  ),
});

const DAY_MS = 24 * 3_600_000;

/** What is not given has the default of its kind: see the options of the program. */
const adaptive = v.strictObject({
  kind: v.optional(
    choice('lets the node find the interval: by rule, or the optimum of what it measures', [
      'off',
      'stepwise',
      'optimal',
    ]),
    'off',
  ),
  intervalMs: v.optional(duration('stepwise: the interval to begin with', { min: 1000, max: 24 * DAY_MS })),
  intervalMsMin: v.optional(duration('stepwise: the shortest', { min: 1000, max: 24 * DAY_MS })),
  intervalMsMax: v.optional(
    duration('stepwise and optimal: the longest interval', { min: 1000, max: 24 * DAY_MS }),
  ),
  pauseMsMin: v.optional(
    duration('optimal: shortest time between two checkpoints', { min: 1000, max: 24 * DAY_MS }),
  ),
  rpoMs: v.optional(
    duration('optimal: how old the newest checkpoint may become; 0: as it pays', {
      min: 0,
      max: 24 * DAY_MS,
    }),
  ),
  rtoMs: v.optional(
    duration('optimal: how long a start may take; 0: as it pays', {
      min: 1000,
      max: 24 * DAY_MS,
      orZero: true,
    }),
  ),
});

const generations = v.strictObject({
  hourly: v.optional(count('the newest of each of the last so many hours is kept', { min: 0, max: 1000 }), 0),
  daily: v.optional(count('the same of days, in UTC', { min: 0, max: 1000 }), 0),
  weekly: v.optional(count('of weeks, which begin on Monday', { min: 0, max: 1000 }), 0),
  monthly: v.optional(count('of months', { min: 0, max: 1000 }), 0),
});

const checkpoint = v.strictObject({
  checkpointIntervalMs: v.optional(
    duration('one is taken so long after the last; 0: none by the clock', {
      min: 1000,
      max: 24 * DAY_MS,
      orZero: true,
    }),
    CHECKPOINT_DEFAULTS.checkpointIntervalMs,
  ),
  checkpointEntries: v.optional(
    count('one is taken after so many entries; 0: any number', { min: 0, max: Number.MAX_SAFE_INTEGER }),
    CHECKPOINT_DEFAULTS.checkpointEntries,
  ),
  checkpointLogBytes: v.optional(
    bytes('one is taken after so much log; 0: any', {
      min: 64 * KIB,
      max: Number.MAX_SAFE_INTEGER,
      orZero: true,
    }),
    CHECKPOINT_DEFAULTS.checkpointLogBytes,
  ),
  adaptive: v.optional(adaptive, {}),
  checkpointAgeMs: v.optional(
    duration('every checkpoint younger than this is kept; `memory:` has 0', { min: 0, max: 3650 * DAY_MS }),
    CHECKPOINT_DEFAULTS.checkpointAgeMs,
  ),
  agedKept: v.optional(
    count('of those younger at most so many, evenly spaced', { min: 2, max: 1000 }),
    CHECKPOINT_DEFAULTS.agedKept,
  ),
  generations: v.optional(generations, {}),
  spacedKept: v.optional(
    count('so many are kept over the whole of history, evenly spaced', { min: 2, max: 1000, orZero: true }),
    CHECKPOINT_DEFAULTS.spacedKept,
  ),
  checkpointBytesMax: v.optional(
    bytes('what all kept checkpoints may take; 0: any', {
      min: MIB,
      max: Number.MAX_SAFE_INTEGER,
      orZero: true,
    }),
    CHECKPOINT_DEFAULTS.checkpointBytesMax,
  ),
  logAgeMs: v.optional(
    duration('the log is kept for rewinding back to here; `memory:` has 0', {
      min: 0,
      max: 3650 * DAY_MS,
    }),
    CHECKPOINT_DEFAULTS.logAgeMs,
  ),
  logBytesMax: v.optional(
    bytes('what of the log is kept for rewinding only', { min: 0, max: Number.MAX_SAFE_INTEGER }),
    CHECKPOINT_DEFAULTS.logBytesMax,
  ),
  checkpointsKept: v.optional(
    count('the newest so many checkpoints are kept, and the log back to there', { min: 1, max: 64 }),
    CHECKPOINT_DEFAULTS.checkpointsKept,
  ),
  checkpointOnClose: v.optional(
    flag('take one when the node stops; false: a fast stop, a longer start'),
    CHECKPOINT_DEFAULTS.checkpointOnClose,
  ),
  compactLogAfterCheckpoint: v.optional(
    flag('give back the log before the oldest kept checkpoint'),
    CHECKPOINT_DEFAULTS.compactLogAfterCheckpoint,
  ),
  loadConcurrency: v.optional(
    count('reads or writes of checkpoints in flight', { min: 1, max: 64 }),
    CHECKPOINT_DEFAULTS.loadConcurrency,
  ),
  bufferBytes: v.optional(
    bytes('size of one such read or write', { min: 4 * KIB, max: 16 * MIB }),
    CHECKPOINT_DEFAULTS.bufferBytes,
  ),
  verifyBytesMax: v.optional(
    bytes('so much of a checkpoint is verified before anything is served', {
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
    }),
    CHECKPOINT_DEFAULTS.verifyBytesMax,
  ),
});

const scrub = v.strictObject({
  cycleMs: v.optional(
    duration('everything on the disk is read again and verified once in this time; 0: on request only', {
      min: CYCLE_MS_MIN,
      max: CYCLE_MS_MAX,
      orZero: true,
    }),
    SCRUB_DEFAULTS.cycleMs,
  ),
  bytesPerSecondMin: v.optional(
    bytes('it reads at least so much in a second', { min: 1, max: Number.MAX_SAFE_INTEGER }),
    SCRUB_DEFAULTS.bytesPerSecondMin,
  ),
  bytesPerSecondMax: v.optional(
    bytes('and at most so much, also on request', {
      min: BYTES_PER_SECOND_MAX_MIN,
      max: Number.MAX_SAFE_INTEGER,
    }),
    SCRUB_DEFAULTS.bytesPerSecondMax,
  ),
});

const ordering = v.strictObject({
  commandBytesMax: v.optional(
    bytes('largest command, as encoded', { min: KIB, max: 32 * MIB }),
    LOCAL_DEFAULTS.commandBytesMax,
  ),
  pendingBytesMax: v.optional(
    bytes('commands that may wait for the disk before clients are not read any more', {
      min: 64 * KIB,
      max: GIB,
    }),
    LOCAL_DEFAULTS.pendingBytesMax,
  ),
});

export const CONFIG_SCHEMA = v.strictObject({
  dir: v.optional(
    text('data directory, made when there is none; `memory:` keeps everything in memory', 'a path'),
    './data',
  ),
  redis: v.optional(redis, {}),
  http: v.optional(http, {}),
  log: v.optional(log, {}),
  durability: v.optional(durability, {}),
  checkpoint: v.optional(checkpoint, {}),
  scrub: v.optional(scrub, {}),
  ordering: v.optional(ordering, {}),
  trace: v.optional(trace, {}),
});

export type Config = v.InferOutput<typeof CONFIG_SCHEMA>;
