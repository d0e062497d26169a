/** Options of the log. */

import { invalidOption, requireInteger, requireKnownOptions } from '../base/options.ts';

/** Every field is optional; `LOG_DEFAULTS` is the whole list. */
export interface LogOptions {
  /**
   * Size of a segment in bytes, allocated and zeroed ahead: 64 KiB to 1 GiB, a multiple of 4096. A batch that
   * is larger gets a segment of its own size. Two more of this size are kept in reserve.
   * @default 33554432
   */
  readonly segmentBytes?: number;
}

export const LOG_DEFAULTS: Required<LogOptions> = Object.freeze({ segmentBytes: 32 * 1024 * 1024 });

/** Fills in defaults and rejects what cannot work. */
export function resolveLogOptions(options: LogOptions): Required<LogOptions> {
  requireKnownOptions('log', options, LOG_DEFAULTS);
  const segmentBytes = options.segmentBytes ?? LOG_DEFAULTS.segmentBytes;
  requireInteger('segmentBytes', segmentBytes, 64 * 1024, 1024 ** 3);
  if (segmentBytes % 4096 !== 0) throw invalidOption('segmentBytes', segmentBytes, 'a multiple of 4096');
  return Object.freeze({ segmentBytes });
}
