/** The part of the configuration that concerns the scrub, where its options contradict each other. */

import { isTidemarkError } from '../../base/errors.ts';
import { resolveScrubOptions } from '../../node/scrub-options.ts';
import type { Config } from './schema.ts';
import type { Fault, Setting } from './setting.ts';

export function scrubFault({ scrub }: Config, chosen: ReadonlyMap<string, Setting>): Fault | null {
  try {
    resolveScrubOptions(scrub);
    return null;
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_OPTION_INVALID')) throw error;
    const key = chosen.has('scrub.bytesPerSecondMin') ? 'scrub.bytesPerSecondMin' : 'scrub.bytesPerSecondMax';
    return { key, origin: chosen.get(key)?.origin ?? { kind: 'default' }, message: error.message };
  }
}
