/**
 * Which of the pending operations reached the disk when the power went: the legal choices, in a bounded and
 * repeatable order, and the words in which one choice is printed and replayed.
 *
 * Pending operations fall apart into *units* that reach the disk or not: a sector or page of a write, a
 * change of size, a change of names. A unit may need earlier ones (lossy-disk.ts says which). A choice is
 * legal when it holds, with each unit, all that this one needs.
 */

import { assert, unreachable } from '../base/assert.ts';
import {
  type DataFate,
  type DiskDirectory,
  type DiskFile,
  type Fate,
  FILLINGS,
  type Filling,
  type PendingOperation,
  type PendingWrite,
  SECTOR_BYTES,
} from './lossy-disk.ts';
import { PAGE_BYTES } from './pages.ts';
import { SeededRandom } from './seeded-random.ts';

/** Into what size a write falls apart. */
export type Grain = typeof SECTOR_BYTES | typeof PAGE_BYTES;

/** One way in which a power cut may end. Printed by `formatChoice`, read back by `parseChoice`. */
export interface CrashChoice {
  readonly grain: Grain;
  /** One character per unit: `1` reached the disk, `0` did not. */
  readonly present: string;
  /** What the written sectors hold that did not reach the disk. */
  readonly absent: Filling;
  /** The last write stops after `bytes`, whatever `present` says of its data; null tears nothing. */
  readonly tear: { readonly bytes: number; readonly rest: Filling } | null;
  /** Seed of the garbage. */
  readonly seed: number;
}

/** How many of the states that a crash may leave are tried. Every field is optional. */
export interface CrashImageOptions {
  /** Up to this many units, every legal subset is tried: at most 2 to the power of this. @default 8 */
  readonly subsetUnitsMax?: number;
  /** Seeded random subsets tried when there are more units. @default 32 */
  readonly randomSubsets?: number;
  /**
   * Tears of the last write at any byte: every one when the write is that short, else so many, seeded.
   * Tears between its sectors come on top.
   * @default 16
   */
  readonly byteTearsMax?: number;
  /** What sectors may hold that did not reach the disk. @default all three */
  readonly fillings?: readonly Filling[];
  /** @default 1 */
  readonly seed?: number;
}

export const CRASH_IMAGE_DEFAULTS: Required<CrashImageOptions> = Object.freeze({
  subsetUnitsMax: 8,
  randomSubsets: 32,
  byteTearsMax: 16,
  fillings: FILLINGS,
  seed: 1,
});

interface Unit {
  readonly operation: PendingOperation;
  /** Range of the file, for a unit of data; empty for others. */
  readonly from: number;
  readonly to: number;
  /** Earlier units without which this one cannot be. */
  readonly needs: readonly number[];
}

/** The units of the pending operations at one grain. */
export class CrashUnits {
  readonly grain: Grain;
  readonly #units: Unit[] = [];
  readonly #firstUnit = new Map<PendingOperation, number>();

  constructor(pending: readonly PendingOperation[], grain: Grain) {
    this.grain = grain;
    const needs = new Needs();
    for (const operation of pending) {
      const at = this.#units.length;
      this.#firstUnit.set(operation, at);
      if (operation.kind === 'write') this.#addData(operation);
      else this.#units.push({ operation, from: 0, to: 0, needs: needs.of(operation, at) });
    }
  }

  get count(): number {
    return this.#units.length;
  }

  /**
   * Removes from `present` the units that lack one they need, and data beyond the size of its file.
   * @returns whether data is missing that the file has room for: what fills its place makes a difference.
   */
  settle(present: Uint8Array): boolean {
    const sizes = new Map<DiskFile, number>();
    for (const [at, { operation, needs }] of this.#units.entries()) {
      if (needs.some((needed) => present[needed] === 0)) present[at] = 0;
      if (operation.kind === 'size' && present[at] === 1) sizes.set(operation.file, operation.bytes);
    }
    let isDataMissing = false;
    for (const [at, { operation, from }] of this.#units.entries()) {
      if (operation.kind !== 'write') continue;
      const bytes = sizes.get(operation.file) ?? operation.file.durable.bytes;
      if (from >= bytes) present[at] = 0;
      else if (present[at] === 0) isDataMissing = true;
    }
    return isDataMissing;
  }

  /** Adds to `present` what the unit needs, and that in turn. */
  addNeeds(present: Uint8Array, at: number): void {
    for (const needed of this.#units[at]?.needs ?? []) {
      present[needed] = 1;
      this.addNeeds(present, needed);
    }
  }

  fateOf(choice: CrashChoice, lastWrite: PendingWrite | null): Fate {
    assert(
      choice.present.length === this.count,
      `${this.count} units pend, the choice has ${choice.present.length}`,
    );
    const random = new SeededRandom(choice.seed);
    const isPresent = (at: number): boolean => choice.present[at] === '1';
    return {
      reached: (operation) => isPresent(this.#first(operation)),
      ranges: (operation) =>
        choice.tear !== null && operation === lastWrite
          ? tornRanges(operation, choice.tear)
          : this.#ranges(operation, isPresent, choice.absent),
      garbage: (target) => random.fill(target),
    };
  }

  /** One line per unit: what it is, and whether it reached the disk. */
  describe(choice: CrashChoice): string {
    const lines = this.#units.map(({ operation, from, to }, at) => {
      const range = operation.kind === 'write' ? ` [${from}, ${to})` : '';
      return `${choice.present[at] === '1' ? 'on disk' : 'not yet'}  ${operation.label}${range}`;
    });
    return [formatChoice(choice), ...lines].join('\n');
  }

  #first(operation: PendingOperation): number {
    const at = this.#firstUnit.get(operation);
    assert(at !== undefined, `${operation.label} is pending`);
    return at;
  }

  #addData(operation: PendingWrite): void {
    const { offset, bytes } = operation.written;
    for (let from = offset; from < offset + bytes; ) {
      const to = Math.min(offset + bytes, from - (from % this.grain) + this.grain);
      this.#units.push({ operation, from, to, needs: [] });
      from = to;
    }
  }

  *#ranges(operation: PendingWrite, isPresent: (at: number) => boolean, absent: Filling): Iterable<DataFate> {
    for (let at = this.#first(operation); this.#units[at]?.operation === operation; at++) {
      const unit = this.#units[at]!;
      yield { from: unit.from, to: unit.to, holds: isPresent(at) ? 'new' : absent };
    }
  }
}

/** Finds what a change of size or of names needs: the change before it of the same file or name. */
class Needs {
  readonly #sizes = new Map<DiskFile, number>();
  readonly #names = new Map<DiskDirectory, Map<string, number>>();

  of(operation: PendingOperation, at: number): number[] {
    switch (operation.kind) {
      case 'size': {
        const before = this.#sizes.get(operation.file);
        this.#sizes.set(operation.file, at);
        return before === undefined ? [] : [before];
      }
      case 'names':
        return operation.changes.flatMap(({ directory, name }) => {
          const names = this.#names.get(directory) ?? new Map<string, number>();
          this.#names.set(directory, names);
          const before = names.get(name);
          names.set(name, at);
          return before ?? [];
        });
      case 'write':
        return [];
      default:
        return unreachable(operation);
    }
  }
}

function* tornRanges(
  { written }: PendingWrite,
  tear: { readonly bytes: number; readonly rest: Filling },
): Iterable<DataFate> {
  const cut = written.offset + tear.bytes;
  const end = written.offset + written.bytes;
  if (tear.bytes > 0) yield { from: written.offset, to: cut, holds: 'new' };
  if (cut < end) yield { from: cut, to: end, holds: tear.rest };
}

export function lastWriteOf(pending: readonly PendingOperation[]): PendingWrite | null {
  return pending.findLast((operation): operation is PendingWrite => operation.kind === 'write') ?? null;
}

/** Every choice that the options ask for, none twice. */
export function* crashChoices(
  pending: readonly PendingOperation[],
  options: CrashImageOptions,
): Iterable<CrashChoice> {
  const resolved = { ...CRASH_IMAGE_DEFAULTS, ...options };
  const sectors = new CrashUnits(pending, SECTOR_BYTES);
  const seen = new Set<string>();
  if (sectors.count <= resolved.subsetUnitsMax) {
    yield* filled(sectors, allSubsets(sectors.count), resolved, seen);
  } else {
    const pages = new CrashUnits(pending, PAGE_BYTES);
    const isFew = pages.count <= resolved.subsetUnitsMax;
    yield* filled(pages, isFew ? allSubsets(pages.count) : someSubsets(pages), resolved, seen);
    yield* filled(sectors, randomSubsets(sectors.count, resolved), resolved, seen);
  }
  const lastWrite = lastWriteOf(pending);
  if (lastWrite !== null) yield* tears(sectors.count, lastWrite.written, resolved);
}

/** One legal choice, drawn at random; from nothing on the disk to all of it. */
export function randomChoice(pending: readonly PendingOperation[], random: SeededRandom): CrashChoice {
  const units = new CrashUnits(pending, SECTOR_BYTES);
  const probability = random.pick([0, 0.1, 0.5, 0.9, 1]);
  const present = Uint8Array.from({ length: units.count }, () => (random.happens(probability) ? 1 : 0));
  units.settle(present);
  const lastWrite = lastWriteOf(pending);
  const isTorn = lastWrite !== null && random.happens(0.25);
  return {
    grain: SECTOR_BYTES,
    present: present.join(''),
    absent: random.pick(FILLINGS),
    tear: isTorn ? { bytes: random.below(lastWrite.written.bytes + 1), rest: random.pick(FILLINGS) } : null,
    seed: random.u32(),
  };
}

export function formatChoice({ grain, present, absent, tear, seed }: CrashChoice): string {
  const torn = tear === null ? 'none' : `${tear.bytes}/${tear.rest}`;
  const units = present === '' ? '-' : present;
  return `grain=${grain} present=${units} absent=${absent} tear=${torn} seed=${seed}`;
}

const CHOICE = new RegExp(
  '^grain=(512|4096) present=([01]+|-) absent=(old|zero|garbage) ' +
    'tear=(none|(\\d+)/(old|zero|garbage)) seed=(\\d+)$',
);

export function parseChoice(text: string): CrashChoice {
  const match = CHOICE.exec(text);
  assert(match !== null, `a choice as printed, got ${text}`);
  return {
    grain: Number(match[1]) as Grain,
    present: match[2] === '-' ? '' : match[2]!,
    absent: match[3] as Filling,
    tear: match[5] === undefined ? null : { bytes: Number(match[5]), rest: match[6] as Filling },
    seed: Number(match[7]),
  };
}

/** Turns subsets into legal choices, each with every filling that makes a difference. */
function* filled(
  units: CrashUnits,
  subsets: Iterable<Uint8Array>,
  options: Required<CrashImageOptions>,
  seen: Set<string>,
): Iterable<CrashChoice> {
  for (const subset of subsets) {
    const isDataMissing = units.settle(subset);
    const present = subset.join('');
    const key = `${units.grain} ${present}`;
    if (seen.has(key)) continue;
    seen.add(key);
    const fillings = isDataMissing ? options.fillings : options.fillings.slice(0, 1);
    for (const absent of fillings) {
      yield { grain: units.grain, present, absent, tear: null, seed: options.seed };
    }
  }
}

function* allSubsets(count: number): Iterable<Uint8Array> {
  for (let mask = 0; mask < 2 ** count; mask++) {
    yield Uint8Array.from({ length: count }, (_, at) => Math.floor(mask / 2 ** at) % 2);
  }
}

/** Of more units than this, evenly spaced ones are tried alone, missing, and as ends of prefixes. */
const SINGLES_MAX = 128;

/** None, all, every single one present, every single one missing, prefixes and suffixes. */
function* someSubsets(units: CrashUnits): Iterable<Uint8Array> {
  const { count } = units;
  yield new Uint8Array(count);
  yield new Uint8Array(count).fill(1);
  const stride = Math.ceil(count / SINGLES_MAX);
  for (let at = 0; at < count; at += stride) {
    const onlyThis = new Uint8Array(count);
    onlyThis[at] = 1;
    units.addNeeds(onlyThis, at);
    yield onlyThis;
    const allButThis = new Uint8Array(count).fill(1);
    allButThis[at] = 0;
    yield allButThis;
    yield new Uint8Array(count).fill(1, 0, at);
    yield new Uint8Array(count).fill(1, at);
  }
}

function* randomSubsets(count: number, options: Required<CrashImageOptions>): Iterable<Uint8Array> {
  const random = new SeededRandom(options.seed);
  for (let run = 0; run < options.randomSubsets; run++) {
    const probability = random.pick([0.1, 0.5, 0.9]);
    yield Uint8Array.from({ length: count }, () => (random.happens(probability) ? 1 : 0));
  }
}

/** Everything reached the disk, but the last write stopped on its way. */
function* tears(
  unitCount: number,
  written: { readonly offset: number; readonly bytes: number },
  options: Required<CrashImageOptions>,
): Iterable<CrashChoice> {
  const present = '1'.repeat(unitCount);
  for (const bytes of tearPoints(written, options)) {
    for (const rest of options.fillings) {
      yield { grain: SECTOR_BYTES, present, absent: 'old', tear: { bytes, rest }, seed: options.seed };
    }
  }
}

/** Sector boundaries (of pages only, when the write is long) and bytes between them. */
function tearPoints(
  { offset, bytes }: { readonly offset: number; readonly bytes: number },
  { byteTearsMax, seed }: Required<CrashImageOptions>,
): number[] {
  const grain = bytes > 16 * PAGE_BYTES ? PAGE_BYTES : SECTOR_BYTES;
  const points = new Set<number>();
  for (let at = grain - (offset % grain); at < bytes; at += grain) points.add(at);
  if (bytes <= byteTearsMax) {
    for (let at = 0; at < bytes; at++) points.add(at);
  } else {
    const random = new SeededRandom(seed);
    for (let run = 0; run < byteTearsMax; run++) points.add(random.below(bytes));
  }
  return [...points].sort((left, right) => left - right);
}
