/**
 * The scrub of a node (src/node/scrubber.ts, scrub-pass.ts, scrub-findings.ts; checklist C12): a cycle
 * takes as long as it may and no longer, over restarts and jumps of the clock; rot in every kind of file is
 * found within one, told once, and made harmless; what the node changes meanwhile is no rot.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import { open } from '../src/node/open.ts';
import type { FileSystem } from '../src/storage/file-system.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { diskFrom, readDisk } from './support/disk-bytes.ts';
import { InterposedFileSystem, refuse } from './support/interposed-file-system.ts';
import { DAY_MS, flipBit, ScrubbedNode, settleTurns } from './support/scrubbed-node.ts';
import { seedOf } from './support/seed.ts';
import { DATA_DIR } from './support/test-log.ts';

const CHECKPOINTS = `${DATA_DIR}/checkpoints`;
const SPREAD = { cycleMs: 7 * DAY_MS, bytesPerSecondMin: 1 };

async function filesOf(fs: FileSystem, dir: string, ending: string): Promise<string[]> {
  return (await fs.list(dir)).filter((name) => name.endsWith(ending)).map((name) => `${dir}/${name}`);
}

/** A node with two chains of checkpoints, a tag, and log in several segments. */
async function makeNode(fs: FileSystem = new MemoryFileSystem()): Promise<ScrubbedNode> {
  const made = await ScrubbedNode.open({ fs, scrub: { cycleMs: 0 }, checkpoint: { checkpointsKept: 3 } });
  for (const round of ['first', 'second', 'third']) {
    await made.fill(round);
    made.clock.advance(5000);
    await made.node.checkpoint();
  }
  await made.node.tag('kept', made.node.stats().checkpoints.last!.index);
  await made.fill('last');
  await settleTurns();
  return made;
}

// ---------------------------------------------------------------------------------------------- pace

test('scrub: a cycle is spread over seven days and ends in time, and so does the next', async () => {
  const fs = new InterposedFileSystem(new MemoryFileSystem());
  const made = await ScrubbedNode.open({ fs, scrub: SPREAD });
  await made.fill('first', 2000);
  await made.node.checkpoint();
  const reads: number[] = [];
  let count = 0;
  fs.onCall = ({ op }) => void (count += op === 'read' ? 1 : 0);
  for (let day = 0; day < 7; day++) {
    const before = count;
    await made.pass(DAY_MS, 600_000);
    reads.push(count - before);
  }
  strictEqual(made.told('scrub-finished').length, 1, 'one cycle in seven days');
  const busyDays = reads.filter((number) => number > 0).length;
  ok(busyDays >= 5, `read on most days, not at once: ${reads.join()}`);
  const { finishedAt, progress, findings, bytesVerified } = made.node.stats().scrub;
  const [finished] = made.told('scrub-finished');
  strictEqual(finishedAt, finished!.at);
  deepStrictEqual([progress, findings], [null, []]);
  strictEqual(bytesVerified, finished!.report.bytes);
  await made.pass(7 * DAY_MS, 600_000);
  strictEqual(made.told('scrub-finished').length, 2, 'and one more in the next seven');
  await made.close();
});

test('scrub: it never reads faster than it may, however much there is', async () => {
  const fs = new InterposedFileSystem(new MemoryFileSystem());
  const bytesPerSecondMax = 16 * 1024;
  const scrub = { cycleMs: 60_000, bytesPerSecondMin: 1024, bytesPerSecondMax };
  const made = await ScrubbedNode.open({ fs, scrub });
  await made.fill('first', 400);
  await made.node.checkpoint();
  let bytes = 0;
  fs.onCall = (call) => void (bytes += call.op === 'read' ? call.bytes : 0);
  const seconds = 200;
  await made.pass(seconds * 1000, 250);
  const piece = 256 * 1024; // The first is read at once.
  ok(bytes > seconds * 1024, `${bytes} bytes read`);
  ok(bytes <= seconds * bytesPerSecondMax + piece, `${bytes} bytes in ${seconds} s`);
  await made.close();
});

test('scrub: a node that is restarted every day ends its cycle in time all the same', async () => {
  const fs = new MemoryFileSystem();
  const clock = new ManualClock();
  let made = await ScrubbedNode.open({ fs, clock, scrub: SPREAD });
  await made.fill('first', 1000);
  await made.node.checkpoint();
  let finished = 0;
  for (let day = 0; day < 7; day++) {
    await made.pass(DAY_MS, 600_000);
    finished += made.told('scrub-finished').length;
    await made.close();
    made = await ScrubbedNode.open({ fs, clock, scrub: SPREAD });
  }
  strictEqual(finished, 1);
  await made.pass(60_000, 1000);
  ok(made.node.stats().scrub.finishedAt > 0, 'and remembers when');
  await made.close();
});

/** A clock whose time of day a test may change, without time having passed. */
class JumpingClock extends ManualClock {
  offsetMs = 0;

  override now(): number {
    return super.now() + this.offsetMs;
  }
}

for (const { name, jumpMs } of [
  { name: 'ten years ahead', jumpMs: 3650 * DAY_MS },
  { name: 'ten years back', jumpMs: -3650 * DAY_MS },
]) {
  test(`scrub: a clock that jumps ${name} neither starts many cycles nor stops them`, async () => {
    const clock = new JumpingClock();
    const made = await ScrubbedNode.open({ clock, scrub: { ...SPREAD, cycleMs: DAY_MS } });
    await made.fill('first');
    await made.pass(DAY_MS / 2, 60_000);
    clock.offsetMs = jumpMs;
    await made.pass(DAY_MS, 60_000);
    const soon = made.told('scrub-finished').length;
    ok(soon >= 1 && soon <= 2, `${soon} cycles`);
    await made.pass(2 * DAY_MS, 60_000);
    const later = made.told('scrub-finished').length - soon;
    ok(later >= 1 && later <= 3, `${later} cycles in two days more`);
    await made.close();
  });
}

test('scrub: without a cycle nothing is read but on request', async () => {
  const fs = new InterposedFileSystem(new MemoryFileSystem());
  const made = await ScrubbedNode.open({ fs, scrub: { cycleMs: 0 } });
  await made.fill('first');
  fs.calls.length = 0;
  await made.pass(30 * DAY_MS, 3_600_000);
  deepStrictEqual(
    fs.calls.filter(({ op }) => op === 'read' || op === 'create').map(({ path }) => path),
    [],
  );
  const report = await made.scrub();
  ok(report.bytes > 50_000 && report.findings.length === 0);
  await made.close();
});

test('scrub: calls share a pass, and one that the close cuts short is rejected', async () => {
  const made = await ScrubbedNode.open({ scrub: { bytesPerSecondMin: 1024, bytesPerSecondMax: 1024 } });
  await made.fill('first');
  const both = [made.node.scrub(), made.node.scrub()];
  await made.pass(1000, 100);
  const closing = made.close();
  for (const one of both) {
    await rejects(one, (error) => isTidemarkError(error, 'TIDEMARK_NOT_OPEN'));
  }
  await closing;
  await rejects(made.node.scrub(), (error) => isTidemarkError(error, 'TIDEMARK_NOT_OPEN'));
});

// ---------------------------------------------------------------------------------------------- rot

interface Rot {
  readonly name: string;
  readonly what: string;
  readonly file: (fs: FileSystem) => Promise<string>;
  readonly offset: number;
  readonly outcome: 'mended' | 'replaced' | 'harmless';
}

const oldest = (names: string[]): string => names.sort()[0]!;
const newest = (names: string[]): string => names.sort().at(-1)!;

/** Neither the first nor the last: nothing takes it out of the log but who knows that it is missing. */
const SEALED = async (fs: FileSystem): Promise<string> =>
  (await filesOf(fs, `${DATA_DIR}/log`, '.log')).sort().at(-2)!;

const ROTS: readonly Rot[] = [
  {
    name: 'the header of a segment',
    what: 'segment',
    file: async (fs) => oldest(await filesOf(fs, `${DATA_DIR}/log`, '.log')),
    offset: 40,
    outcome: 'mended',
  },
  {
    name: 'a record of a segment',
    what: 'segment',
    file: async (fs) => oldest(await filesOf(fs, `${DATA_DIR}/log`, '.log')),
    offset: 4200,
    outcome: 'replaced',
  },
  {
    name: 'a record of the newest segment',
    what: 'segment',
    file: async (fs) => newest(await filesOf(fs, `${DATA_DIR}/log`, '.log')),
    offset: 4200,
    outcome: 'replaced',
  },
  {
    name: 'a sparse index',
    what: 'sparse-index',
    file: async (fs) => newest(await filesOf(fs, `${DATA_DIR}/log`, '.idx')),
    offset: 30,
    outcome: 'harmless',
  },
  {
    name: 'the index file of an old checkpoint',
    what: 'checkpoint',
    file: async (fs) => oldest(await filesOf(fs, CHECKPOINTS, '.idx')),
    offset: 100,
    outcome: 'replaced',
  },
  {
    name: 'the index file of the newest checkpoint',
    what: 'checkpoint',
    file: async (fs) => newest(await filesOf(fs, CHECKPOINTS, '.idx')),
    offset: 100,
    outcome: 'replaced',
  },
  {
    name: 'a node of an old checkpoint',
    what: 'checkpoint',
    file: async (fs) => oldest(await filesOf(fs, CHECKPOINTS, '.data')),
    offset: 5000,
    outcome: 'replaced',
  },
  {
    name: 'a node of the newest checkpoint',
    what: 'checkpoint',
    file: async (fs) => newest(await filesOf(fs, CHECKPOINTS, '.data')),
    offset: 5000,
    outcome: 'replaced',
  },
  {
    name: 'a tag',
    what: 'tag',
    file: async (fs) => oldest(await filesOf(fs, CHECKPOINTS, '.tag')),
    offset: 20,
    outcome: 'mended',
  },
  {
    name: 'a copy of the status',
    what: 'status',
    file: async () => `${DATA_DIR}/status`,
    offset: 4200,
    outcome: 'mended',
  },
];

for (const { name, what, file, offset, outcome } of ROTS) {
  test(`scrub C12: rot in ${name} is found, told once, and ${outcome}`, async () => {
    const made = await makeNode();
    deepStrictEqual((await made.scrub()).findings, [], 'nothing is wrong before');
    const path = await file(made.fs);
    await flipBit(made.fs, path, offset);
    const report = await made.scrub();
    const [found, ...others] = report.findings;
    deepStrictEqual(others, []);
    deepStrictEqual([found!.what, found!.file, found!.outcome], [what, path, outcome]);
    ok(found!.reason.length > 0 && found!.meaning.length > 0);
    strictEqual(made.told('scrub-finding').length, 1);
    strictEqual(made.told('scrub-outcome').length, outcome === 'harmless' ? 0 : 1);
    deepStrictEqual(made.node.stats().scrub.findings, report.findings);

    // What was mended or moved aside is met no more; what is still there is not told again.
    const again = await made.scrub();
    strictEqual(made.told('scrub-finding').length, 1, 'known');
    for (const known of again.findings) strictEqual(known.foundAt, found!.foundAt);

    // And the state is there, whatever a start has to use.
    await made.node.submit('SET', 'after', 'it');
    const disk = await readDisk(made.fs, DATA_DIR);
    await made.close();
    const started = await ScrubbedNode.open({ fs: await diskFrom(disk) });
    ok(await started.isFilled('last'));
    deepStrictEqual(await started.node.query('GET', 'after'), new Uint8Array([105, 116]));
    await started.close();
  });
}

for (const { name, file, what } of [
  { name: 'a sealed segment', what: 'segment', file: SEALED },
  ...ROTS.filter((rot) => rot.what === 'checkpoint' || rot.what === 'tag'),
]) {
  test(`scrub: a file removed by hand, ${name}, is found, and a start needs nothing of it`, async () => {
    const made = await makeNode();
    const path = await file(made.fs);
    await made.fs.remove(path);
    const { findings } = await made.scrub();
    deepStrictEqual(
      findings.map((found) => [found.file, found.what, found.outcome]),
      [[path, what, what === 'tag' ? 'mended' : 'replaced']],
    );
    const disk = await readDisk(made.fs, DATA_DIR);
    await made.close();
    const started = await ScrubbedNode.open({ fs: await diskFrom(disk) });
    ok(await started.isFilled('last'));
    deepStrictEqual(started.node.checkpoints().length > 0, true);
    await started.close();
  });
}

test('scrub: the segment that is being written, removed by hand, stays an open finding', async () => {
  const made = await makeNode();
  const path = newest(await filesOf(made.fs, `${DATA_DIR}/log`, '.log'));
  await made.fs.remove(path);
  for (let pass = 0; pass < 2; pass++) {
    const { findings } = await made.scrub();
    deepStrictEqual(
      findings.map((found) => [found.file, found.outcome]),
      [[path, 'open']],
    );
    match(findings[0]!.meaning, /cannot start/);
  }
  await made.close();
});

test('scrub C12: any bit that flips is found, and a start needs nothing of it', async (t) => {
  const random = new SeededRandom(seedOf(t));
  const made = await makeNode();
  const disk = await readDisk(made.fs, DATA_DIR);
  await made.close();
  const isVerified = /\/status$|\.tag$|\.data$|\.idx$/;
  const files = [...disk].filter(([path, bytes]) => isVerified.test(path) && bytes !== null);
  for (let run = 0; run < 12; run++) {
    const [path, bytes] = random.pick(files);
    const offset = random.below(bytes!.length);
    const fs = await diskFrom(disk);
    const clock = new ManualClock(made.clock.now());
    const node = await ScrubbedNode.open({ fs, clock, scrub: { cycleMs: 0 } });
    await flipBit(fs, path, offset);
    const { findings } = await node.scrub();
    ok(
      findings.some(({ file, outcome }) => file === path && outcome !== 'open'),
      `${path} at ${offset}: ${JSON.stringify(findings)}`,
    );
    const after = await readDisk(fs, DATA_DIR);
    await node.close();
    const started = await ScrubbedNode.open({ fs: await diskFrom(after), clock });
    ok(await started.isFilled('last'), `${path} at ${offset}`);
    deepStrictEqual(
      started.node.recovery.warnings.filter((text) => text.includes('damaged')),
      [],
      `${path} at ${offset}`,
    );
    await started.close();
  }
});

test('scrub C12: a damaged old checkpoint is found within a cycle, and a full one is taken', async () => {
  const made = await makeNode();
  const disk = await readDisk(made.fs, DATA_DIR);
  await made.close();
  const fs = await diskFrom(disk);
  const node = await ScrubbedNode.open({ fs, scrub: SPREAD });
  const before = node.node.stats().checkpoints.last!;
  const path = oldest(await filesOf(fs, CHECKPOINTS, '.data'));
  await flipBit(fs, path, 5000);
  await node.pass(7 * DAY_MS, 600_000, () => node.told('scrub-finished').length > 0);
  const [finding] = node.told('scrub-outcome');
  strictEqual(finding?.finding.outcome, 'replaced');
  const last = node.node.stats().checkpoints.last!;
  ok(last.kind === 'full' && last.takenAt > before.takenAt);
  const quarantined = await fs.list(`${DATA_DIR}/quarantine`);
  ok(quarantined.includes(path.slice(CHECKPOINTS.length + 1)), 'moved aside, not deleted');
  await node.close();
  // From the new one alone.
  const after = await ScrubbedNode.open({ fs });
  strictEqual(after.node.recovery.checkpoint!.file, last.file);
  ok(await after.isFilled('last'));
  await after.close();
});

test('scrub: what was found is known after a restart, and forgotten when it is gone', async () => {
  const made = await makeNode();
  const path = newest(await filesOf(made.fs, `${DATA_DIR}/log`, '.idx'));
  await flipBit(made.fs, path, 30);
  const { findings } = await made.scrub();
  strictEqual(findings.length, 1);
  const { fs, clock } = made;
  await made.close();
  const again = await ScrubbedNode.open({ fs, clock, scrub: { cycleMs: 0 } });
  await again.pass(20_000, 1000);
  deepStrictEqual(again.node.stats().scrub.findings, findings);
  strictEqual(again.told('scrub-finding').length, 0);
  await again.close();
  // A cycle that is cut short every day forgets it, too.
  await fs.remove(path);
  let left: readonly unknown[] = findings;
  for (let day = 0; day < 8 && left.length > 0; day++) {
    const node = await ScrubbedNode.open({ fs, clock, scrub: SPREAD });
    await node.pass(2 * DAY_MS, 600_000);
    left = node.node.stats().scrub.findings;
    await node.close();
  }
  deepStrictEqual(left, []);
});

test('scrub: a sector that cannot be read is damage, and what can be read all the same is none', async () => {
  const inner = new MemoryFileSystem();
  const fs = new InterposedFileSystem(inner);
  const made = await makeNode(fs);
  const bad = oldest(await filesOf(fs, CHECKPOINTS, '.data'));
  let failing = 1;
  fs.onCall = (call) => {
    if (call.op === 'read' && call.path === bad && failing > 0) {
      failing--;
      refuse(call, 'EIO');
    }
  };
  deepStrictEqual((await made.scrub()).findings, [], 'once is not believed');
  failing = Number.POSITIVE_INFINITY;
  const [finding] = (await made.scrub()).findings;
  deepStrictEqual([finding?.file, finding?.outcome], [bad, 'replaced']);
  await made.close();
});

test('scrub: without room for a checkpoint a finding stays open until one is taken', async () => {
  const fs = new InterposedFileSystem(new MemoryFileSystem());
  const made = await makeNode(fs);
  await flipBit(fs, newest(await filesOf(fs, CHECKPOINTS, '.data')), 5000);
  fs.onCall = (call) => {
    if (call.op === 'create' && call.path.endsWith('.data')) refuse(call, 'ENOSPC');
  };
  const [finding] = (await made.scrub()).findings;
  strictEqual(finding?.outcome, 'open');
  match(finding.meaning, /cannot be used/);
  fs.onCall = () => undefined;
  const { kind } = await made.node.checkpoint();
  strictEqual(kind, 'full', 'nothing is built upon what is damaged');
  await settleTurns();
  strictEqual(made.node.stats().scrub.findings[0]!.outcome, 'replaced');
  await made.close();
});

// ------------------------------------------------------------------------------------------- meanwhile

test('scrub: writes, checkpoints, retention and compaction at the same time are no finding', async (t) => {
  const random = new SeededRandom(seedOf(t));
  const scrub = { cycleMs: 60_000, bytesPerSecondMin: 64 * 1024, bytesPerSecondMax: 256 * 1024 };
  const made = await ScrubbedNode.open({ scrub, checkpoint: { checkpointsKept: 2 } });
  for (let round = 0; round < 60; round++) {
    await made.fill(`round ${round}`, random.between(20, 300));
    if (random.happens(0.5)) await made.node.checkpoint();
    await made.pass(random.between(1000, 8000), 500);
  }
  ok(made.told('scrub-finished').length >= 3, `${made.told('scrub-finished').length} passes`);
  ok(made.told('log-compacted').length > 5);
  deepStrictEqual(made.told('scrub-finding'), []);
  strictEqual(made.node.stats().scrub.failure, null);
  await made.close();
});

test('scrub: nothing is held: no file stays open between two passes', async () => {
  const fs = new InterposedFileSystem(new MemoryFileSystem());
  const made = await makeNode(fs);
  const open = [...fs.handles].sort();
  await made.scrub();
  deepStrictEqual([...fs.handles].sort(), open);
  const scrubbing = made.node.scrub();
  await settleTurns();
  await Promise.all([rejects(scrubbing), made.close()]);
  deepStrictEqual(fs.handles, []);
});

test('scrub: a crash at any moment costs its progress, and nothing else', async () => {
  const fs = new InterposedFileSystem(new MemoryFileSystem());
  const made = await makeNode(fs);
  await flipBit(fs, oldest(await filesOf(fs, CHECKPOINTS, '.data')), 5000);
  const disks: Map<string, Uint8Array | null>[] = [];
  const report = made.node.scrub();
  for (let at = 0, calls = 0; at < 4000 && made.told('scrub-finished').length === 0; at++) {
    made.clock.advance(20);
    await settleTurns();
    if (fs.calls.length > calls) disks.push(await readDisk(fs, DATA_DIR));
    calls = fs.calls.length;
  }
  await report;
  await made.close();
  ok(disks.length > 5, `${disks.length} moments`);
  for (const disk of disks) {
    const started = await ScrubbedNode.open({ fs: await diskFrom(disk), clock: made.clock });
    ok(await started.isFilled('last'));
    deepStrictEqual(
      (await started.scrub()).findings.filter(({ outcome }) => outcome === 'open'),
      [],
    );
    await started.close();
  }
});

test('scrub: a record that is damaged, or of something else, means a new cycle', async () => {
  const made = await makeNode();
  await made.scrub();
  const { fs } = made;
  await made.close();
  for (const offset of [0, 5, 30]) {
    await flipBit(fs, `${DATA_DIR}/scrub`, offset);
    const again = await ScrubbedNode.open({ fs });
    await again.pass(60_000, 1000);
    strictEqual(again.told('scrub-finished').length, 1);
    await again.close();
  }
});

test('scrub: options that cannot be are refused', async () => {
  for (const scrub of [
    { cycleMs: 59_999 },
    { cycleMs: -1 },
    { bytesPerSecondMin: 0 },
    { bytesPerSecondMax: 10 },
    { bytesPerSecondMin: 2048, bytesPerSecondMax: 1024 },
    { rate: 5 },
  ]) {
    const opened = open({ dir: 'memory:', scrub });
    await rejects(
      opened,
      (error) => isTidemarkError(error, 'TIDEMARK_OPTION_INVALID'),
      JSON.stringify(scrub),
    );
  }
});
