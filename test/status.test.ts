/**
 * The status file (src/log/status.ts). Goal: what was persisted is there after any crash and any one fault,
 * and nothing is overwritten without need or proof. Method: every image that a power cut may leave at every
 * I/O call, three deep, alone and with one more copy spoiled; damage of every part of the file; failures
 * injected.
 */
import { deepStrictEqual, ok, rejects, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { sha256 } from '../src/base/digest.ts';
import { isTidemarkError, type TidemarkError } from '../src/base/errors.ts';
import { type Term, toIndex, toTerm, toTimeline } from '../src/base/positions.ts';
import { inspectStatus, StatusFile } from '../src/log/status.ts';
import type { Member, Status } from '../src/log/status-content.ts';
import { NO_SERVICE } from '../src/log/status-content.ts';
import {
  encodeCopy,
  type NumberedStatus,
  numberStatus,
  STATUS_COPIES,
  STATUS_FILE_BYTES,
  STATUS_SLOT_BYTES,
} from '../src/log/status-copies.ts';
import { type DiskImage, failure, StatusDisk } from './support/status-disk.ts';

const IS_SOAK = process.env['SOAK'] === '1';
const COPIES = [0, 1, 2, 3];

const status: Status = {
  clusterId: '00112233445566778899aabbccddeeff',
  nodeId: 1,
  incarnation: 1,
  machine: { name: 'keyvalue', version: 1 },
  earlierVersions: [],
  timeline: toTimeline(1),
  term: toTerm(0),
  view: 0,
  vote: 0,
  commitIndex: toIndex(0),
  firstIndex: toIndex(1),
  segmentSequence: 0,
  membership: fieldsOf(0).membership,
  installing: null,
  service: NO_SERVICE,
};

/** What changes with the term: enough that two versions of a copy differ in four sectors. */
function fieldsOf(term: number): { term: Term; membership: Member[] } {
  const membership = Array.from(
    { length: 45 },
    (_, at): Member => ({ id: 100 * (term + 1) + at, role: 'voter' }),
  );
  return { term: toTerm(term), membership };
}

/** Statuses of terms 0, 1, 2 …, each the parent of the next: sequence = term + 1. */
const history: NumberedStatus[] = [];
for (let term = 0; term < 8; term++) {
  history.push(numberStatus(history.at(-1) ?? null, { ...status, ...fieldsOf(term) }));
}

/** The file as it is when all copies hold the content of that term. */
function fileOf(term: number): Uint8Array {
  const file = new Uint8Array(STATUS_FILE_BYTES);
  for (const copy of COPIES) file.set(slotOf(term, copy), copy * STATUS_SLOT_BYTES);
  return file;
}

function slotOf(term: number, copy: number): Uint8Array {
  return encodeCopy(history[term]!, copy);
}

function diskOf(file: Uint8Array): StatusDisk {
  return new StatusDisk(new Map([['status', file]]));
}

/** Fails the test when the status file reports a failure that was not planned. */
function unexpected(error: TidemarkError): void {
  throw error;
}

async function openStatus(
  disk: StatusDisk,
  onFailure: (error: TidemarkError) => void = unexpected,
): Promise<StatusFile> {
  const file = await StatusFile.open(disk, 'data', onFailure);
  await file.makeDurable();
  return file;
}

// --------------------------------------------------------------------------------------------------- order

const OVERWRITE = COPIES.flatMap((copy) => [
  `write status ${copy * STATUS_SLOT_BYTES}+${STATUS_SLOT_BYTES}`,
  'sync-data status',
]);

test('status A2: a new file is synced under another name, renamed, and its name synced', async () => {
  const disk = new StatusDisk();
  const file = await StatusFile.create(disk, 'data', status, unexpected);
  deepStrictEqual(disk.trace, [
    'create status.tmp',
    `write status.tmp 0+${STATUS_FILE_BYTES}`,
    'sync status.tmp',
    'rename status.tmp',
    'sync-directory data',
  ]);
  deepStrictEqual(file.persisted, status);
  strictEqual(file.sequence, 1);
});

test('status A5: each copy is durable before the next is overwritten', async () => {
  const disk = diskOf(fileOf(3));
  const file = await openStatus(disk);
  deepStrictEqual(disk.trace.splice(0), [...OVERWRITE, 'sync-directory data']);
  file.update(fieldsOf(4));
  await file.whenPersisted();
  deepStrictEqual(disk.trace, OVERWRITE);
});

test('status: create refuses to replace a file, and takes away what an earlier try left', async () => {
  const disk = diskOf(fileOf(3));
  await rejects(StatusFile.create(disk, 'data', status, unexpected), { code: 'TIDEMARK_FILE_EXISTS' });
  deepStrictEqual(disk.trace, []);

  const other = new StatusDisk(new Map([['status.tmp', new Uint8Array(100)]]));
  await StatusFile.create(other, 'data', status, unexpected);
  deepStrictEqual([...other.current().keys()], ['status']);
});

// ------------------------------------------------------------------------------------------------- persist

test('status: update changes memory only, persist what is on disk; sequences grow by one', async () => {
  const disk = diskOf(fileOf(0));
  const file = await openStatus(disk);
  disk.trace.length = 0;
  for (let term = 1; term < 8; term++) {
    file.update(fieldsOf(term));
    strictEqual(file.current.term, term);
    strictEqual(file.persisted.term, term - 1);
    await file.whenPersisted();
    deepStrictEqual(file.persisted, file.current);
    strictEqual(file.sequence, term + 1);
    deepStrictEqual(disk.current().get('status'), fileOf(term));
  }
  strictEqual(disk.trace.length, 7 * OVERWRITE.length);
});

test('status: persists during a write share the one that follows it', async () => {
  const disk = diskOf(fileOf(0));
  const file = await openStatus(disk);
  const resolved: string[] = [];
  file.update(fieldsOf(1));
  const first = file.whenPersisted().then(() => resolved.push(`1: ${file.persisted.term}`));
  const later = [2, 3, 4].map((term) => {
    file.update(fieldsOf(term));
    file.persist();
    return file.whenPersisted().then(() => resolved.push(`${term}: ${file.persisted.term}`));
  });
  await Promise.all([first, ...later]);
  deepStrictEqual(resolved, ['1: 1', '2: 4', '3: 4', '4: 4']);
  strictEqual(file.sequence, 3);
});

test('status: nothing is written when nothing was updated', async () => {
  const disk = diskOf(fileOf(0));
  const file = await openStatus(disk);
  disk.trace.length = 0;
  file.persist();
  await file.whenPersisted();
  await file.close();
  deepStrictEqual(disk.trace, []);
});

test('status: close waits for what was asked for; after it, nothing is taken', async () => {
  const disk = diskOf(fileOf(0));
  const file = await openStatus(disk);
  file.update(fieldsOf(1));
  file.persist();
  file.update(fieldsOf(2));
  file.persist();
  await Promise.all([file.close(), file.close()]);
  strictEqual(file.persisted.term, 2);
  throws(() => file.update(fieldsOf(3)), InvariantViolation);
  throws(() => file.persist(), InvariantViolation);
});

test('status: whenPersisted rejects after close when an update was never asked to be written', async () => {
  const file = await openStatus(diskOf(fileOf(0)));
  file.update(fieldsOf(1));
  await file.close();
  await rejects(file.whenPersisted(), { code: 'TIDEMARK_NOT_OPEN' });
});

test('status F1, L1: a failed write or sync poisons the file for good, and everybody is told', async () => {
  for (let failing = 0; failing < OVERWRITE.length; failing++) {
    const disk = diskOf(fileOf(0));
    const told: TidemarkError[] = [];
    const file = await openStatus(disk, (error) => told.push(error));
    disk.trace.length = 0;
    const cause = failure('TIDEMARK_IO', 'data/status');
    disk.onCall = () => {
      if (disk.trace.length === failing) throw cause;
    };
    file.update(fieldsOf(1));
    const first = file.whenPersisted();
    file.update(fieldsOf(2));
    const second = file.whenPersisted();
    await rejects(first, { code: 'TIDEMARK_LOG_POISONED', remedy: 'repair', cause });
    await rejects(second, { code: 'TIDEMARK_LOG_POISONED', cause });

    // The disk works again; the file must not.
    disk.onCall = () => undefined;
    file.persist();
    await rejects(file.whenPersisted(), { code: 'TIDEMARK_LOG_POISONED' });
    await file.close();
    strictEqual(disk.trace.length, failing);
    strictEqual(file.persisted.term, 0);
    strictEqual(told.length, 1);
    strictEqual(told[0]?.cause, cause);
  }
});

test('status F2: a start rewrites what only the cache may hold', async () => {
  // Copy 3 was written, and its sync failed: programs read it, the disk does not have it.
  const disk = diskOf(fileOf(0));
  const file = await openStatus(disk, () => undefined);
  disk.trace.length = 0;
  disk.onCall = (call) => {
    if (disk.trace.length === OVERWRITE.length - 1) throw failure('TIDEMARK_IO', call);
  };
  file.update(fieldsOf(1));
  await rejects(file.whenPersisted());
  disk.onCall = () => undefined;
  deepStrictEqual(disk.current().get('status'), fileOf(1));

  const again = await openStatus(disk);
  deepStrictEqual(again.repaired, []);
  deepStrictEqual(disk.images(), [new Map([['status', fileOf(1)]])]);
});

// -------------------------------------------------------------------------------------------------- damage

/** Opens a damaged file; whichever content it starts with, all copies hold it afterwards. */
async function openDamaged(file: Uint8Array): Promise<StatusFile> {
  const disk = diskOf(file);
  const opened = await openStatus(disk);
  deepStrictEqual(disk.images(), [new Map([['status', fileOf(opened.persisted.term)]])]);
  return opened;
}

/** Opens a file that must be refused, and checks that nothing was changed. */
async function refuse(image: DiskImage): Promise<TidemarkError> {
  const disk = new StatusDisk(image);
  const error: unknown = await openStatus(disk).then(
    () => null,
    (reason: unknown) => reason,
  );
  ok(isTidemarkError(error), 'refused');
  deepStrictEqual(disk.trace, []);
  deepStrictEqual(disk.current(), image);
  return error;
}

test('status E1: a file with any byte flipped starts with the right content and is whole again', async () => {
  const STRIDE = 7; // Every byte is flipped in status-copies.test.ts; here the whole way is gone.
  for (let at = 0; at < STATUS_FILE_BYTES; at += STRIDE) {
    const file = fileOf(3);
    file[at]! ^= 0xff;
    const opened = await openDamaged(file);
    strictEqual(opened.persisted.term, 3);
    strictEqual(opened.repaired.length, 1);
  }
});

test('status E1: a file with any sector zeroed, or cut at any sector of the last copy, starts', async () => {
  for (let at = 0; at < STATUS_FILE_BYTES; at += 512) {
    strictEqual((await openDamaged(fileOf(3).fill(0, at, at + 512))).persisted.term, 3);
    if (at < 3 * STATUS_SLOT_BYTES) continue;
    const opened = await openDamaged(fileOf(3).slice(0, at));
    strictEqual(opened.persisted.term, 3);
    deepStrictEqual(opened.repaired, [
      { copy: 3, reason: at % STATUS_SLOT_BYTES === 0 ? 'absent' : 'short' },
    ]);
  }
});

/** Ways to spoil one copy of a file. */
const SPOILED: Record<string, (file: Uint8Array, copy: number, term: number) => void> = {
  zeroed: (file, copy) => void file.fill(0, copy * STATUS_SLOT_BYTES, (copy + 1) * STATUS_SLOT_BYTES),
  rotten: (file, copy) => void (file[copy * STATUS_SLOT_BYTES + 100]! ^= 1),
  behind: (file, copy, term) => file.set(slotOf(Math.max(term - 1, 0), copy), copy * STATUS_SLOT_BYTES),
  stale: (file, copy, term) => file.set(slotOf(Math.max(term - 2, 0), copy), copy * STATUS_SLOT_BYTES),
  misdirected: (file, copy, term) =>
    file.set(slotOf(term, (copy + 1) % STATUS_COPIES), copy * STATUS_SLOT_BYTES),
};

for (const [name, spoil] of Object.entries(SPOILED)) {
  test(`status E1: one copy ${name} is repaired and reported`, async () => {
    for (const copy of COPIES) {
      const file = fileOf(3);
      spoil(file, copy, 3);
      const opened = await openDamaged(file);
      strictEqual(opened.persisted.term, 3);
      const reason = { zeroed: 'absent', rotten: 'digest' }[name] ?? name;
      deepStrictEqual(opened.repaired, [{ copy, reason }]);
    }
  });
}

test('status E2: any two copies spoiled give the right content, or stop and change nothing', async () => {
  const outcomes: Record<string, number> = {};
  for (const first of COPIES) {
    for (const second of COPIES.slice(first + 1)) {
      for (const [one, spoilOne] of Object.entries(SPOILED)) {
        for (const [two, spoilTwo] of Object.entries(SPOILED)) {
          const file = fileOf(3);
          spoilOne(file, first, 3);
          spoilTwo(file, second, 3);
          const image = new Map([['status', file]]);
          const isStart = (await inspectStatus(new StatusDisk(image), 'data')).decision.kind === 'start';
          const outcome = isStart ? 'start' : 'stop';
          if (isStart) strictEqual((await openDamaged(file)).persisted.term, 3, `${one} ${two}`);
          else strictEqual((await refuse(image)).code, 'TIDEMARK_STATUS_DAMAGED');
          outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
        }
      }
    }
  }
  // Only two stale copies together stop: they look like the remains of another history.
  deepStrictEqual(outcomes, { start: 6 * 24, stop: 6 });
});

test('status E2: copies that disagree stop with a table of them', async () => {
  const file = fileOf(3);
  const other = numberStatus(history[2]!, { ...status, term: toTerm(3), vote: 1 });
  file.set(encodeCopy(other, 2), 2 * STATUS_SLOT_BYTES);
  const error = await refuse(new Map([['status', file]]));
  strictEqual(error.code, 'TIDEMARK_STATUS_DAMAGED');
  strictEqual(error.remedy, 'restore');
  deepStrictEqual(error.facts, { path: 'data/status', reason: 'fork' });
  const right = history[3]!.digest.slice(0, 16);
  const wrong = other.digest.slice(0, 16);
  const parent = history[2]!.digest.slice(0, 16);
  deepStrictEqual(error.message.split('\n').slice(1), [
    'copy  sequence          digest            parent            verdict',
    `0     4                 ${right}  ${parent}  valid`,
    `1     4                 ${right}  ${parent}  valid`,
    `2     4                 ${wrong}  ${parent}  valid`,
    `3     4                 ${right}  ${parent}  valid`,
  ]);
});

for (const { name, image } of [
  { name: 'no file', image: new Map() },
  { name: 'an empty file', image: new Map([['status', new Uint8Array(0)]]) },
  { name: 'zeros', image: new Map([['status', new Uint8Array(STATUS_FILE_BYTES)]]) },
  { name: 'garbage', image: new Map([['status', new Uint8Array(STATUS_FILE_BYTES).fill(0xa5)]]) },
  { name: 'one byte more than zeros', image: new Map([['status', new Uint8Array(1).fill(1)]]) },
]) {
  test(`status E3: ${name} stops a node that is alone`, async () => {
    const error = await refuse(image);
    strictEqual(error.code, 'TIDEMARK_STATUS_DAMAGED');
    strictEqual(error.facts['reason'], 'lost');
  });
}

test('status E3: one copy alone stops', async () => {
  for (const copy of COPIES) {
    const file = new Uint8Array(STATUS_FILE_BYTES);
    file.set(slotOf(3, copy), copy * STATUS_SLOT_BYTES);
    strictEqual((await refuse(new Map([['status', file]]))).facts['reason'], 'too-few');
  }
});

test('status: a newer format in any copy is refused before anything is changed', async () => {
  for (const copy of COPIES) {
    const file = fileOf(3);
    const slot = file.subarray(copy * STATUS_SLOT_BYTES, (copy + 1) * STATUS_SLOT_BYTES);
    slot[8] = 2;
    slot.set(sha256(slot.subarray(0, STATUS_SLOT_BYTES - 32)), STATUS_SLOT_BYTES - 32);
    const error = await refuse(new Map([['status', file]]));
    strictEqual(error.code, 'TIDEMARK_FORMAT_NEWER');
    deepStrictEqual(error.facts, { path: 'data/status', version: 2, versionMax: 1 });
  }
});

test('status F5: a copy that cannot be read is damage, and is rewritten', async () => {
  for (const copy of COPIES) {
    const disk = diskOf(fileOf(3));
    disk.onCall = (call) => {
      if (call === `read status ${copy * STATUS_SLOT_BYTES}`) throw failure('TIDEMARK_IO', 'data/status');
    };
    const opened = await openStatus(disk);
    strictEqual(opened.persisted.term, 3);
    deepStrictEqual(opened.repaired, [{ copy, reason: 'unreadable' }]);
  }
});

test('status F1: a failed write or sync of the repair refuses the start', async () => {
  for (let failing = 0; failing <= OVERWRITE.length; failing++) {
    const disk = diskOf(fileOf(3));
    disk.onCall = (call) => {
      if (disk.trace.length === failing && !call.startsWith('read')) throw failure('TIDEMARK_IO', call);
    };
    await rejects(openStatus(disk), { code: 'TIDEMARK_IO' });
    strictEqual(disk.trace.length, failing);
  }
});

// ------------------------------------------------------------------------------------------------- crashes

/** Runs `work` and returns every image that a power cut at any of its I/O calls, or after it, may leave. */
async function crashImages(
  disk: StatusDisk,
  work: (disk: StatusDisk) => Promise<unknown>,
): Promise<DiskImage[]> {
  const images = new Map<string, DiskImage>();
  const collect = (): void => {
    for (const image of disk.images()) images.set(keyOf(image), image);
  };
  disk.onCall = collect;
  await work(disk);
  collect();
  return [...images.values()];
}

function keyOf(image: DiskImage): string {
  return [...image]
    .map(([name, bytes]) => `${name}:${Buffer.from(sha256(bytes)).toString('hex')}`)
    .toSorted()
    .join();
}

/** Counts the starts, and remembers those already tried. */
class Crashes {
  starts = 0;
  readonly #seen = new Map<string, number>();

  /**
   * Starts from `image`; then from every image that a power cut during that start may leave, and so on.
   * @param terms What a start may answer. Once one has answered, the next must answer the same.
   */
  async start(image: DiskImage, terms: readonly number[], depth: number): Promise<void> {
    const key = `${keyOf(image)} ${terms.join()}`;
    if ((this.#seen.get(key) ?? 0) >= depth) return;
    this.#seen.set(key, depth);
    this.starts += 1;

    let term = -1;
    const crashed = await crashImages(new StatusDisk(image), async (disk) => {
      const opened = await openStatus(disk);
      term = opened.persisted.term;
      deepStrictEqual(opened.persisted, history[term]!.status);
      deepStrictEqual(disk.images(), [new Map([['status', fileOf(term)]])]);
    });
    ok(terms.includes(term), `started with term ${term}, allowed: ${terms.join()}`);
    if (depth === 1) return;
    // Of crashes inside a start only a share is tried, another one each time.
    const share = IS_SOAK ? 1 : 3;
    const tried = crashed.filter((_, at) => (at + this.starts) % share === 0);
    for (const next of tried) await this.start(next, terms, depth - 1);
  }
}

test('status A2, B9: a crash at any I/O call of create leaves no status, or a whole one', async (t) => {
  const crashes = new Crashes();
  const create = (disk: StatusDisk): Promise<StatusFile> => {
    return StatusFile.create(disk, 'data', status, unexpected);
  };
  let withoutFile = await crashImages(new StatusDisk(), create);
  for (let depth = 3; depth > 0; depth--) {
    const again: DiskImage[] = [];
    for (const [at, image] of withoutFile.entries()) {
      if (image.has('status')) await crashes.start(new Map([['status', image.get('status')!]]), [0], 2);
      else if (IS_SOAK || at % 4 === 0) again.push(...(await crashImages(new StatusDisk(image), create)));
    }
    withoutFile = [...new Map(again.map((image) => [keyOf(image), image])).values()];
  }
  t.diagnostic(`${crashes.starts} states`);
});

test('status A2: a start makes the name durable that a crash may have left in the cache', async () => {
  const disk = new StatusDisk();
  disk.onCall = (call) => {
    if (call === 'sync-directory data') throw failure('TIDEMARK_IO', 'data');
  };
  await rejects(StatusFile.create(disk, 'data', status, unexpected));
  disk.onCall = () => undefined;
  await openStatus(disk);
  deepStrictEqual(disk.images(), [new Map([['status', fileOf(0)]])]);
});

/** The images of a crash at any I/O call of persisting term 4 over term 3. */
async function persistImages(): Promise<DiskImage[]> {
  const disk = diskOf(fileOf(3));
  const file = await openStatus(disk);
  return await crashImages(disk, async () => {
    file.update(fieldsOf(4));
    await file.whenPersisted();
    deepStrictEqual(disk.images(), [new Map([['status', fileOf(4)]])]);
  });
}

test('status E1, B9: a crash at any I/O call of persist and of starts, three deep', async (t) => {
  const crashes = new Crashes();
  for (const image of await persistImages()) await crashes.start(image, [3, 4], 4);
  await crashes.start(new Map([['status', fileOf(4)]]), [4], 3);
  t.diagnostic(`${crashes.starts} states`);
});

test('status E1: a crash at any I/O call of persist and of a start, and one copy spoiled', async (t) => {
  const STRIDE = IS_SOAK ? 1 : 24;
  const crashes = new Crashes();
  const images = await persistImages();
  for (const image of images.filter((_, at) => at % STRIDE === 0 || at === images.length - 1)) {
    for (const spoil of Object.values(SPOILED)) {
      for (const copy of COPIES) {
        const file = Uint8Array.from(image.get('status')!);
        spoil(file, copy, 3);
        // A spoiled copy of the whole new file must not bring back the old.
        const isWhole = keyOf(image) === keyOf(new Map([['status', fileOf(4)]]));
        await crashes.start(new Map([['status', file]]), isWhole ? [4] : [3, 4], 2);
      }
    }
  }
  t.diagnostic(`${crashes.starts} states`);
});
