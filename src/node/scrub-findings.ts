/**
 * What scrubs found, each thing once: told when it is found first, and kept until it is gone, over passes and
 * restarts. Says of each what it means for a recovery, and knows when a new checkpoint has replaced what was
 * damaged.
 */

import type { Clock } from '../base/time.ts';
import type { CheckpointInfo } from '../checkpoint/checkpoint-info.ts';
import type { CheckpointStore } from '../checkpoint/checkpoint-store.ts';
import type { FoundCheckpoint } from '../checkpoint/survey-checkpoints.ts';
import type { Log } from '../log/log.ts';
import { FINDINGS_MAX, type ScrubFinding } from './scrub-record.ts';

/** What a pass met. */
export type Met = Pick<ScrubFinding, 'what' | 'file' | 'offset' | 'reason'> &
  Partial<Pick<ScrubFinding, 'lastIndex'>> & {
    /** Name of the index file of a checkpoint that needs what is damaged. */
    readonly checkpoint?: string;
    /** Nothing is lost, whatever happens. */
    readonly isHarmless?: boolean;
  };

export interface FindingsConfig {
  readonly clock: Clock;
  readonly store: Pick<CheckpointStore, 'base' | 'basePath' | 'checkpoints' | 'setAside'>;
  readonly log: Pick<Log, 'firstIndex'>;
  /** Something was found first, or its outcome is another one now. */
  readonly onChange: (kind: 'scrub-finding' | 'scrub-outcome', finding: ScrubFinding) => void;
}

export class ScrubFindings {
  readonly #config: FindingsConfig;
  #all: ScrubFinding[] = [];
  /** When the pass under way began. */
  #beganAt = 0;

  constructor(config: FindingsConfig) {
    this.#config = config;
  }

  get all(): readonly ScrubFinding[] {
    return this.#all;
  }

  /** Those of earlier lives. */
  remember(findings: readonly ScrubFinding[]): void {
    this.#all = [...findings];
  }

  /** A pass begins, or goes on that began then. */
  begin(beganAt: number): void {
    this.#beganAt = beganAt;
  }

  /** A whole pass has ended: what it did not meet any more is gone. */
  end(): void {
    this.#all = this.#all.filter(({ seenAt }) => seenAt >= this.#beganAt);
  }

  /**
   * Notes what was met; tells of it unless it is known. Returns whether something may have to be done. What
   * was written again and is damaged once more is another finding.
   */
  note(met: Met): boolean {
    const known = this.#all.find((finding) => nameOf(finding) === nameOf(met));
    if (known === undefined || known.outcome === 'mended') {
      this.#all = this.#all.filter((finding) => finding !== known);
      if (this.#all.length < FINDINGS_MAX) this.#add(met);
      return met.isHarmless !== true;
    }
    const checkpoints = withName(known.checkpoints, met.checkpoint);
    const isMore = checkpoints.length > known.checkpoints.length;
    const outcome = known.outcome === 'replaced' && isMore ? 'open' : known.outcome;
    const { lastIndex = known.lastIndex } = met; // Of the newest segment it is known once that is sealed.
    const seen = { ...known, checkpoints, outcome, lastIndex, seenAt: this.#config.clock.now() };
    this.#all = this.#all.map((finding) => (finding === known ? seen : finding));
    return outcome === 'open';
  }

  /** The checkpoints that cannot be used because of it. */
  hit(met: Met): readonly FoundCheckpoint[] {
    const finding = this.#all.find((known) => nameOf(known) === nameOf(met));
    if (finding === undefined) return [];
    return this.#config.store.checkpoints.filter((found) => needs(found.info, found.path, finding));
  }

  /** The file was written again. */
  mended(met: Met, meaning: string): void {
    this.#change(nameOf(met), { outcome: 'mended', meaning });
  }

  /** Sets aside what a newer checkpoint has replaced; tells of each that is no longer needed. */
  async settle(): Promise<void> {
    for (const finding of this.#all.filter(({ outcome }) => outcome === 'open')) {
      if (finding.what === 'checkpoint') await this.#settleCheckpoint(finding);
      if (finding.what === 'segment') this.#settleSegment(finding);
    }
  }

  async #settleCheckpoint(finding: ScrubFinding): Promise<void> {
    const { store } = this.#config;
    const { base } = store;
    if (base === null || needs(base, store.basePath ?? '', finding)) return;
    const { file, reason } = finding;
    for (const found of this.hit(finding))
      await store.setAside(found, { file, offset: finding.offset ?? 0, reason });
    const meaning =
      `the checkpoint of entry ${base.index} was taken instead, and needs nothing of it; what cannot be ` +
      'used any more was moved to quarantine';
    this.#change(nameOf(finding), { outcome: 'replaced', meaning });
  }

  #settleSegment({ lastIndex, offset, ...finding }: ScrubFinding): void {
    const { store, log } = this.#config;
    const { base } = store;
    if (base === null || base.index < lastIndex) return;
    if (isWholeFile(offset) && log.firstIndex <= lastIndex) return;
    const meaning =
      `the checkpoint of entry ${base.index} has all that these entries did: a start does not need them; ` +
      'going back through them, or with an older checkpoint, fails';
    this.#change(nameOf({ ...finding, offset }), { outcome: 'replaced', meaning });
  }

  #add({ what, file, offset, reason, lastIndex = 0, checkpoint, isHarmless }: Met): void {
    const now = this.#config.clock.now();
    const finding: ScrubFinding = {
      what,
      file,
      offset,
      reason: reason.slice(0, REASON_CHARS_MAX),
      foundAt: now,
      seenAt: now,
      outcome: isHarmless === true ? 'harmless' : 'open',
      meaning: this.#meaningOf(what, lastIndex, isHarmless === true),
      lastIndex,
      checkpoints: withName([], checkpoint),
    };
    this.#all.push(finding);
    this.#config.onChange('scrub-finding', finding);
  }

  #meaningOf(what: ScrubFinding['what'], lastIndex: number, isHarmless: boolean): string {
    if (what === 'status') return 'with more such copies the node could not start again';
    if (what === 'tag') return 'after a restart no checkpoint would be removed any more';
    if (what === 'sparse-index') return 'reading from the middle of its segment takes longer';
    if (isHarmless) return 'no checkpoint needs these bytes, and none will build upon the file';
    if (what === 'checkpoint') return 'the checkpoints named cannot be used';
    if (lastIndex === OPEN_END)
      return 'what is written to it goes when the node stops, which then cannot start';
    const base = this.#config.store.base?.index ?? 0;
    return base >= lastIndex
      ? 'a start from an older checkpoint, and going back through these entries, fails'
      : 'after a crash these entries would be missing: the node could not start';
  }

  #change(name: string, change: Pick<ScrubFinding, 'outcome' | 'meaning'>): void {
    const at = this.#all.findIndex((finding) => nameOf(finding) === name);
    const known = this.#all[at];
    // More than are kept; or two checkpoints were taken at once.
    if (known === undefined || known.outcome === change.outcome) return;
    const finding = { ...known, ...change };
    this.#all[at] = finding;
    this.#config.onChange('scrub-outcome', finding);
  }
}

/**
 * Whether a segment is missing, or has no header that could be written again. A start passes over entries
 * that are damaged behind a newer checkpoint, but wants every file of the log: such a one must not be in it.
 */
export function isWholeFile(offset: number | null): boolean {
  return offset === null || offset === 0;
}

/** In place of the last entry of the segment that is being written: none that is known. */
export const OPEN_END = Number.MAX_SAFE_INTEGER;

const REASON_CHARS_MAX = 500;

function nameOf({ file, offset }: Pick<ScrubFinding, 'file' | 'offset'>): string {
  return `${file} ${offset}`;
}

function withName(names: readonly string[], name: string | undefined): readonly string[] {
  return name === undefined || names.includes(name) ? names : [...names, name];
}

/** Whether a checkpoint is one that cannot be used because of a finding. */
function needs(
  info: CheckpointInfo,
  path: FoundCheckpoint['path'],
  { file, checkpoints }: ScrubFinding,
): boolean {
  const isNamed = checkpoints.some((name) => path.endsWith(`/${name}`));
  return isNamed || path === file || info.files.some(({ name }) => file.endsWith(`/${name}`));
}
