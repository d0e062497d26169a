/**
 * One pass of a scrub: status, tags, log and checkpoints, in this order, from wherever the last one was cut
 * short. What verifies them is what `tidemark verify` uses.
 *
 * The node goes on meanwhile, and so:
 *  - what is verified is asked for anew before each part, and what is removed while it is read is no finding;
 *    nothing is held for the pass but the file that is being read;
 *  - of the newest segment what is durable is read, and no checkpoint that is being written;
 *  - what is not as it should be is read once more a moment later, and only then believed.
 */

import { isTidemarkError } from '../base/errors.ts';
import type { Pace } from '../base/pace.ts';
import { type Index, toIndex } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import { compareInfos } from '../checkpoint/checkpoint-info.ts';
import { CHECKPOINTS_DIR } from '../checkpoint/checkpoint-name.ts';
import type { CheckpointStore } from '../checkpoint/checkpoint-store.ts';
import type { FoundCheckpoint } from '../checkpoint/survey-checkpoints.ts';
import { readTags, type Tag, tagPath } from '../checkpoint/tags.ts';
import {
  bytesOfFiles,
  type CheckpointVerdict,
  CheckpointVerifier,
  NOTHING_VERIFIED,
} from '../checkpoint/verify-checkpoints.ts';
import type { Log } from '../log/log.ts';
import { STATUS_NAME, type StatusFile } from '../log/status.ts';
import { STATUS_FILE_BYTES, STATUS_SLOT_BYTES } from '../log/status-copies.ts';
import type { SealedSegment } from '../log/survey.ts';
import { type LogFinding, mendHeader, verifySegment } from '../log/verify-segment.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { pacedReading } from '../storage/paced-reading.ts';
import { isWholeFile, type Met, OPEN_END, type ScrubFindings } from './scrub-findings.ts';
import { FIRST_PLACE, SCRUB_STAGES, type ScrubPlace } from './scrub-record.ts';

/** Time until something is read once more, in milliseconds: longer than a small file takes to be written. */
const CONFIRM_MS = 1000;

/** Headers, indices and tags: of each segment, checkpoint and tag, about. */
const SMALL_BYTES = 8 * 1024;

export interface PassConfig {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly dataDir: string;
  readonly clusterId: string;
  readonly log: Pick<Log, 'durableSegments' | 'durableIndex'>;
  readonly status: Pick<StatusFile, 'mend'>;
  readonly store: CheckpointStore;
  readonly isBusy: () => boolean;
  readonly pace: Pace;
  readonly findings: ScrubFindings;
  /** The last entry that belongs to the pass. */
  readonly lastIndex: number;
  /** Takes a checkpoint that builds upon nothing that is there. */
  readonly renew: () => Promise<void>;
  /** Gives back the log up to an entry that the newest checkpoint has, if that may be. */
  readonly forgetLog: (index: Index) => Promise<void>;
  /** The place has moved: everything before it is verified. */
  readonly onPlace: (place: ScrubPlace) => void;
}

export class ScrubPass {
  readonly #config: PassConfig;
  readonly #fs: FileSystem;
  readonly #verifier: CheckpointVerifier;
  #place: ScrubPlace;
  /** Whether what is being read is still there. */
  #isThere: () => boolean = () => true;
  /** Whether a checkpoint was taken in this pass because of what it met. */
  #hasRenewed = false;

  /** @param from Where to go on. */
  constructor(config: PassConfig, from: ScrubPlace = FIRST_PLACE) {
    const { fs, clock, dataDir, clusterId, pace, store, isBusy } = config;
    this.#config = config;
    this.#place = from;
    this.#fs = pacedReading(fs, async (bytes) => {
      await pace.spend(bytes);
      if (!this.#isThere()) throw GONE;
    });
    this.#verifier = new CheckpointVerifier({
      fs: this.#fs,
      clock,
      dataDir,
      clusterId,
      isBusy,
      pathOf: store.pathOf,
      reading: { loadConcurrency: 1, bufferBytes: 256 * 1024 },
      wholeFiles: from.files,
    });
  }

  /** Bytes that a whole pass reads, about: files of checkpoints are read by checksum, then node by node. */
  static bytesOf({ log, store, lastIndex }: Pick<PassConfig, 'log' | 'store' | 'lastIndex'>): number {
    const segments = log.durableSegments.filter(({ header }) => header.firstIndex <= lastIndex + 1);
    const logBytes = segments.reduce((sum, { end }) => sum + end + SMALL_BYTES, 0);
    const checkpoints = store.checkpoints.filter(({ info }) => info.index <= lastIndex);
    const small = (checkpoints.length + store.tags.length) * SMALL_BYTES;
    return STATUS_FILE_BYTES + logBytes + small + 2 * bytesOfFiles(checkpoints);
  }

  /** Resolves when the pass is over. @throws What its pace was ended with. */
  async run(): Promise<void> {
    for (const stage of SCRUB_STAGES) {
      if (SCRUB_STAGES.indexOf(stage) < SCRUB_STAGES.indexOf(this.#place.stage)) continue;
      if (this.#place.stage !== stage) this.#move({ ...FIRST_PLACE, files: this.#place.files, stage });
      if (stage === 'status') await this.#verifyStatus();
      if (stage === 'tags') await this.#verifyTags();
      if (stage === 'log') await this.#verifyLog();
      if (stage === 'checkpoints') await this.#verifyCheckpoints();
    }
  }

  async #verifyStatus(): Promise<void> {
    const { pace, status, dataDir, findings } = this.#config;
    await pace.spend(STATUS_FILE_BYTES);
    for (const { copy, reason } of await status.mend()) {
      const met = {
        what: 'status',
        file: `${dataDir}/${STATUS_NAME}`,
        offset: copy * STATUS_SLOT_BYTES,
        reason: `copy ${copy} is not what was written: ${reason}`,
      } as const;
      findings.note(met);
      findings.mended(met, 'it was written again from memory: nothing is lost');
    }
  }

  async #verifyTags(): Promise<void> {
    const { findings, store } = this.#config;
    const first = await this.#tagDamages();
    if (first.length === 0) return;
    await this.#config.pace.pause(CONFIRM_MS);
    for (const { file, reason } of await this.#tagDamages()) {
      if (!first.some((damage) => damage.file === file)) continue;
      const met: Met = { what: 'tag', file, offset: null, reason };
      if (!findings.note(met)) continue;
      const isMended = await whenPossible(() => store.mendTag(file, reason));
      if (isMended === true) findings.mended(met, 'it was written again from memory: nothing is lost');
    }
  }

  /** Tags that cannot be read, or do not say what they said last. */
  async #tagDamages(): Promise<readonly { readonly file: string; readonly reason: string }[]> {
    const { dataDir, clusterId, store } = this.#config;
    const dir = `${dataDir}/${CHECKPOINTS_DIR}`;
    const { tags, damages } = await readTags(this.#fs, dir, clusterId);
    const read = [...damages.map(({ file }) => file), ...tags.map(({ name }) => tagPath(dir, name))];
    const missing = store.tags
      .map(({ name }) => ({ file: tagPath(dir, name), reason: 'the file is missing' }))
      .filter(({ file }) => !read.includes(file));
    const isStale = ({ name, index, root }: Tag): boolean =>
      store.tags.some((tag) => tag.name === name && (tag.index !== index || tag.root !== root));
    const stale = tags.filter(isStale).map(({ name }) => ({
      file: tagPath(dir, name),
      reason: 'it is not what was written last',
    }));
    return [...damages, ...stale, ...missing];
  }

  async #verifyLog(): Promise<void> {
    const { log, lastIndex } = this.#config;
    for (;;) {
      const segments = log.durableSegments;
      const at = segments.findIndex(({ header }) => header.firstIndex > this.#place.index);
      const segment = segments[at];
      if (segment === undefined || segment.header.firstIndex > lastIndex + 1) return;
      await this.#verifySegment(segment);
      this.#move({ ...this.#place, index: segment.header.firstIndex });
    }
  }

  async #verifySegment({ header: { id } }: SealedSegment): Promise<void> {
    if ((await this.#segmentFindings(id)).length === 0) return;
    await this.#config.pace.pause(CONFIRM_MS);
    let met = await this.#segmentFindings(id);
    if (met.some(({ what, offset }) => what === 'segment' && offset === 0))
      met = await this.#mendHeader(id, met);
    for (const one of met) if (this.#config.findings.note(one)) await this.#respond(one);
  }

  /** What is wrong with a segment as it is now; nothing when it is there no more. */
  async #segmentFindings(id: string): Promise<readonly Met[]> {
    const { log } = this.#config;
    const isThis = ({ header }: SealedSegment): boolean => header.id === id;
    const segments = log.durableSegments;
    const at = segments.findIndex(isThis);
    const segment = segments[at];
    if (segment === undefined) return [];
    const next = segments[at + 1]?.header ?? null;
    const lastIndex = next === null ? log.durableIndex : next.firstIndex - 1;
    const found: LogFinding[] = [];
    const isThere = (): boolean => log.durableSegments.some(isThis);
    const verified = await this.#reading(isThere, async () => {
      await verifySegment(this.#fs, segment, next, { finding: (finding) => found.push(finding) });
      return true;
    });
    if (verified === 'gone') return [];
    if (verified === 'missing') {
      const reason = 'the file is missing';
      const last = next === null ? OPEN_END : lastIndex;
      return [{ what: 'segment', file: segment.path, offset: null, reason, lastIndex: last }];
    }
    return found.map(({ kind, file, offset, message: reason }) =>
      kind === 'warning'
        ? { what: 'sparse-index', file, offset, reason, isHarmless: true }
        : { what: 'segment', file, offset, reason, lastIndex },
    );
  }

  /** The header of a segment is known: it is written again. Returns what is wrong besides. */
  async #mendHeader(id: string, met: readonly Met[]): Promise<readonly Met[]> {
    const { fs, log, findings } = this.#config;
    const segment = log.durableSegments.find(({ header }) => header.id === id);
    const header = met.find(({ offset }) => offset === 0);
    if (segment === undefined || header === undefined) return [];
    findings.note(header);
    await whenPossible(() => mendHeader(fs, segment));
    const left = await this.#segmentFindings(id);
    if (left.some(({ offset }) => offset === 0)) return left;
    findings.mended(header, 'it was written again from memory: nothing is lost');
    return left;
  }

  async #verifyCheckpoints(): Promise<void> {
    for (;;) {
      const found = this.#nextCheckpoint();
      if (found === undefined) return;
      await this.#verifyCheckpoint(found);
      const { index, takenAt } = found.info;
      const files = this.#verifier.wholeFiles;
      this.#move({ ...this.#place, index, takenAt, part: NOTHING_VERIFIED, files });
    }
  }

  /** Newest first; of those that were there when the pass began. */
  #nextCheckpoint(): FoundCheckpoint | undefined {
    const { store, lastIndex } = this.#config;
    const { index, takenAt } = this.#place;
    const isFirst = takenAt === 0;
    const isLater = ({ info }: FoundCheckpoint): boolean =>
      info.index < index || (info.index === index && info.takenAt < takenAt);
    return store.checkpoints.find((found) => found.info.index <= lastIndex && (isFirst || isLater(found)));
  }

  async #verifyCheckpoint(found: FoundCheckpoint): Promise<void> {
    const { findings, store } = this.#config;
    const { part } = this.#place;
    let verdict = await this.#verdictOf(found, part);
    if (isWell(verdict)) return;
    await this.#config.pace.pause(CONFIRM_MS);
    verdict = await this.#verdictOf(found, NOTHING_VERIFIED, 'again');
    if (isWell(verdict) || verdict === 'gone') return;
    if (verdict === 'missing' || verdict.kind === 'damaged') {
      const damage = verdict === 'missing' ? null : verdict.damage;
      const { file, offset, reason } = damage ?? {
        file: found.path,
        offset: 0,
        reason: 'the file is missing',
      };
      const checkpoint = found.path.slice(found.path.lastIndexOf('/') + 1);
      const met: Met = { what: 'checkpoint', file, offset, reason, checkpoint };
      if (findings.note(met)) await this.#respond(met);
      return;
    }
    for (const { file, offset, reason } of verdict.warnings) {
      findings.note({ what: 'checkpoint', file, offset, reason, isHarmless: true });
      if (store.base?.files.some(({ name }) => file.endsWith(`/${name}`)) === true) store.distrustAll();
    }
  }

  async #verdictOf(
    found: FoundCheckpoint,
    part: ScrubPlace['part'],
    how: 'first' | 'again' = 'first',
  ): Promise<CheckpointVerdict | 'gone' | 'missing'> {
    const { store } = this.#config;
    // Those that need the same root and files are one checkpoint to a list that was made anew.
    const isThere = (): boolean => store.checkpoints.some(({ info }) => compareInfos(info, found.info) === 0);
    if (how === 'again') this.#verifier.forget(found);
    const verdict = await this.#reading(isThere, () =>
      this.#verifier.verify(found, part, (next) => {
        if (how === 'first') this.#move({ ...this.#place, part: next });
      }),
    );
    return isThere() ? verdict : 'gone';
  }

  /** Reads something; says so when it was removed meanwhile, or is not where it should be. */
  async #reading<Result>(
    isThere: () => boolean,
    read: () => Promise<Result>,
  ): Promise<Result | 'gone' | 'missing'> {
    this.#isThere = isThere;
    try {
      return await read();
    } catch (error) {
      if (error === GONE) return 'gone';
      if (isTidemarkError(error, 'TIDEMARK_FILE_MISSING')) return isThere() ? 'missing' : 'gone';
      throw error;
    } finally {
      this.#isThere = () => true;
    }
  }

  /**
   * Something is damaged that a recovery may need: while the state is in memory, a checkpoint that needs
   * nothing of what is on the disk makes it dispensable. Once in a pass, unless the newest itself is hit.
   */
  async #respond(met: Met): Promise<void> {
    const { store, findings, renew, forgetLog } = this.#config;
    const { what, offset, lastIndex = 0 } = met;
    const { base } = store;
    const hit = what === 'checkpoint' ? findings.hit(met) : [];
    const isHit =
      what === 'checkpoint' ? hit.some(({ info }) => info === base) : (base?.index ?? 0) < lastIndex;
    // What is damaged goes to quarantine, also where no policy keeps it any more.
    const release = hit.map((found) => store.hold(found));
    try {
      if (isHit || !this.#hasRenewed) await renew();
      this.#hasRenewed = true;
      const isLost = what === 'segment' && isWholeFile(offset);
      if (isLost && (store.base?.index ?? 0) >= lastIndex) await forgetLog(toIndex(lastIndex));
      await findings.settle();
    } finally {
      for (const one of release) one();
    }
  }

  #move(place: ScrubPlace): void {
    this.#place = place;
    this.#config.onPlace(place);
  }
}

/** What is being read was removed. */
const GONE = new Error('what was being read is there no more');

function isWell(verdict: CheckpointVerdict | 'gone' | 'missing'): boolean {
  if (verdict === 'gone') return true;
  return verdict !== 'missing' && verdict.kind === 'whole' && verdict.warnings.length === 0;
}

/** What the disk has no room for, or refuses, is left as it is: null. */
async function whenPossible<Result>(mend: () => Promise<Result>): Promise<Result | null> {
  try {
    return await mend();
  } catch (error) {
    if (isTidemarkError(error)) return null;
    throw error;
  }
}
