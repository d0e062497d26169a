/** What happens to a log that people and programs may want to know. */

import type { ErrorCode } from '../base/errors.ts';
import type { Index } from '../base/positions.ts';

/** A sync that takes longer than this is told of, in milliseconds: people notice that answers are late. */
export const SLOW_SYNC_MS = 500;

/** What happens to a log, as those who watch it are told. */
export type LogEvent =
  /** A segment is full: entries up to `lastIndex` are in segments that never change again. */
  | { readonly kind: 'segment-sealed'; readonly lastIndex: Index }
  /** Entries before `firstIndex` were dropped, behind a checkpoint that has them. */
  | { readonly kind: 'log-compacted'; readonly firstIndex: Index }
  /** The disk took more than SLOW_SYNC_MS for a sync; with `synced` durability every answer waited. */
  | { readonly kind: 'slow-sync'; readonly tookMs: number; readonly bytes: number }
  /**
   * Commands are refused from now on: no space (TIDEMARK_DISK_FULL), or no file descriptors or memory
   * (TIDEMARK_RESOURCES), for the reserve of the log. Reads go on.
   */
  | { readonly kind: 'shortage-began'; readonly code: ErrorCode; readonly message: string }
  /** Commands are taken again, after `tookMs` milliseconds. */
  | { readonly kind: 'shortage-ended'; readonly tookMs: number };
