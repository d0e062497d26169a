/**
 * Durability: when an entry may be acknowledged.
 *
 * - `synced`: once it is durable. Nothing that was acknowledged is ever lost.
 * - `buffered`: once it is written, and synced soon. The end of the process loses nothing; the end of the
 *   machine may take what was written after the last sync, always from the end, and never more than the
 *   bounds say.
 *
 * To the log both are one rule: no more than `commandsMax` commands and `bytesMax` bytes are acknowledged and
 * not durable. With `synced` both bounds are 0.
 */

import { invalidOption, requireInteger, requireKnownOptions } from '../base/options.ts';

/** Every field is optional; `BUFFERED_DEFAULTS` is the whole list. */
export interface BufferedOptions {
  /**
   * A sync begins at the latest so long after an entry was written, in milliseconds: 1 to 60,000.
   * @default 1000
   */
  readonly intervalMs?: number;

  /**
   * Most commands that are acknowledged and not durable: 1 to 1,000,000,000. A sync begins at half of them;
   * answers wait at the bound.
   * @default 100000
   */
  readonly commandsMax?: number;

  /**
   * Most bytes of log that are acknowledged and not durable: 64 KiB to 256 MiB. A sync begins at half of
   * them; answers wait at the bound.
   * @default 16777216
   */
  readonly bytesMax?: number;
}

/** Made by `buffered()`. */
export interface BufferedDurability extends BufferedOptions {
  readonly kind: 'buffered';
}

/** What `open` takes. */
export type DurabilityChoice = 'synced' | BufferedDurability;

/** What the log works with. */
export interface Durability extends Required<BufferedOptions> {
  readonly kind: 'synced' | 'buffered';
}

export const BUFFERED_DEFAULTS: Required<BufferedOptions> = Object.freeze({
  intervalMs: 1000,
  commandsMax: 100_000,
  bytesMax: 16 * 1024 * 1024,
});

export const SYNCED: Durability = Object.freeze({
  kind: 'synced',
  intervalMs: 0,
  commandsMax: 0,
  bytesMax: 0,
});

/**
 * Commands are acknowledged once they are written, and synced soon: after `intervalMs`, or before
 * `commandsMax` commands or `bytesMax` bytes are at stake. A killed process loses nothing; a power cut may
 * take what came after the last sync. `Node.sync` makes the rest durable at once.
 * @throws TidemarkError TIDEMARK_OPTION_INVALID.
 */
export function buffered(options: BufferedOptions = {}): BufferedDurability {
  requireKnownOptions('buffered', options, BUFFERED_DEFAULTS);
  const resolved = { ...BUFFERED_DEFAULTS, ...options };
  requireInteger('intervalMs', resolved.intervalMs, 1, 60_000);
  requireInteger('commandsMax', resolved.commandsMax, 1, 1_000_000_000);
  requireInteger('bytesMax', resolved.bytesMax, 64 * 1024, 256 * 1024 * 1024);
  return Object.freeze({ kind: 'buffered', ...resolved });
}

/** Checked again: a program may write down what `buffered()` makes. */
export function resolveDurability(choice: DurabilityChoice): Durability {
  if (choice === 'synced') return SYNCED;
  if (typeof choice !== 'object' || choice?.kind !== 'buffered') {
    throw invalidOption('durability', choice, "'synced', or made by buffered()");
  }
  const { kind, ...options } = choice;
  return { ...BUFFERED_DEFAULTS, ...buffered(options), kind };
}
