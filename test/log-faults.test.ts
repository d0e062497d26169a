/**
 * A log whose disk fails while it truncates, compacts and reads (checklist F1, F4, F5, F8, F9): what a node
 * does not do yet. A running node: node-faults.test.ts.
 */

import { ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { isTidemarkError } from '../src/base/errors.ts';
import { toIndex, toTerm } from '../src/base/positions.ts';
import type { Fault } from '../src/testing/lossy-faults.ts';
import { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { codeOf } from './support/fault-node.ts';
import {
  compactKnown,
  fillSegments,
  type KnownLog,
  logSubject,
  type OpenLog,
  openKnown,
  truncateKnown,
} from './support/log-explorer.ts';

interface Subject {
  readonly files: LossyFileSystem;
  readonly known: KnownLog;
  readonly open: OpenLog;
}

let seeds = 0;

/** A log of four segments, its reserve filled. */
async function fourSegments(): Promise<Subject> {
  const files = new LossyFileSystem();
  const known = logSubject.newKnown();
  const open = await openKnown(files, ++seeds, known);
  await fillSegments(open, known, 3);
  await settle(files);
  return { files, known, open };
}

async function settle(files: LossyFileSystem): Promise<void> {
  for (let calls = -1; calls !== files.callCount; await turn()) calls = files.callCount;
}

/** Whatever happened: the next start finds what was durable, after a kill and after a power cut. */
async function checkNothingLost({ files, known }: Subject): Promise<void> {
  await settle(files);
  await logSubject.check(files.kill(), known, (seeds += 2));
  const [barest] = files.crashImages();
  await logSubject.check(barest!.files, known, (seeds += 2));
}

for (const { name, change } of [
  { name: 'a truncation', change: ({ open, known }: Subject) => truncateKnown(open, known, 6) },
  { name: 'a truncation of all', change: ({ open, known }: Subject) => truncateKnown(open, known, 0) },
  { name: 'a compaction', change: ({ open, known }: Subject) => compactKnown(open, known, 9) },
]) {
  test(`log F1, F3: EIO at any call of ${name}: it rejects, and nothing durable is lost`, async (t) => {
    const probe = await fourSegments();
    const first = probe.files.callCount;
    await change(probe);
    const calls = probe.files.calls.filter(({ at, op }) => at > first && op !== 'close');
    const counts = new Map<string, number>();
    for (const { op } of calls) {
      const after = counts.get(op) ?? 0;
      counts.set(op, after + 1);
      const subject = await fourSegments();
      subject.files.inject({ kind: 'error', on: op, code: 'EIO', after });
      await change(subject).then(
        () => ok(['create', 'write', 'sync', 'sync-directory'].includes(op), `${op} was in the background`),
        (error: unknown) => ok(isTidemarkError(error), String(error)),
      );
      await checkNothingLost(subject);
    }
    t.diagnostic(`${calls.length} calls`);
  });

  test(`log F9: out of descriptors at any call of ${name}: rejected or done, never poisoned`, async () => {
    for (const on of ['open', 'create', 'sync-directory'] as const) {
      for (let after = 0; after < 6; after++) {
        const subject = await fourSegments();
        subject.files.inject({ kind: 'error', on, code: 'EMFILE', after });
        const passing = setInterval(() => subject.open.clock.advance(100), 1);
        try {
          await change(subject).catch(async (error: unknown) => {
            ok(isTidemarkError(error, 'TIDEMARK_RESOURCES'), String(error));
            await change(subject); // It may be repeated.
          });
        } finally {
          clearInterval(passing);
        }
        subject.open.clock.advance(1000);
        await settle(subject.files);
        strictEqual(subject.open.log.refusal, null);
        await subject.open.append(subject.known, 500);
        await checkNothingLost(subject);
      }
    }
  });
}

test('log F4: a truncation without space is refused and changes nothing; with space it is done', async () => {
  const subject = await fourSegments();
  const { files, known, open } = subject;
  files.capacityBytes = 0;
  for (let truncations = 0; ; truncations++) {
    const after = known.entries.length - 1;
    const code = await codeOf(truncateKnown(open, known, after));
    if (code === null) continue;
    strictEqual(code, 'TIDEMARK_DISK_FULL');
    ok(truncations >= 2, 'the reserve serves truncations');
    break;
  }
  strictEqual(open.log.lastIndex, known.entries.length);
  files.capacityBytes = Infinity;
  open.clock.advance(1000);
  await settle(files);
  await truncateKnown(open, known, 3);
  await open.append(known, 500);
  await checkNothingLost(subject);
});

const FAILING_READS: readonly Fault[] = [
  { kind: 'error', on: 'read', code: 'EIO' },
  { kind: 'short-read', bytes: 100 },
];

for (const fault of FAILING_READS) {
  test(`log F5, F6: a read that fails (${fault.kind}) is told to the reader; the log goes on`, async () => {
    const subject = await fourSegments();
    const { files, open, known } = subject;
    const names = (await files.list('data/log')).filter((name) => name.endsWith('.log'));
    strictEqual(names.length, 4);
    for (const name of names) {
      files.inject({ ...fault, path: `data/log/${name}` });
      await rejects(readAll(open), { name: 'TidemarkError' });
      strictEqual(await readAll(open), known.entries.length);
    }
    strictEqual(open.log.refusal, null);
    await open.append(known, 500);
    await checkNothingLost(subject);
  });
}

async function readAll({ log }: OpenLog): Promise<number> {
  let count = 0;
  for await (const _record of log.read(log.firstIndex)) count++;
  return count;
}

test('log F8: while a sync takes long, what is durable can be read, and nothing beyond', async () => {
  const { files, open, known } = await fourSegments();
  files.holdSyncs();
  const { log } = open;
  log.append(toTerm(1), log.lastTime, new Uint8Array(10));
  log.flush();
  await turn();
  strictEqual(files.heldSyncs.length, 1);
  strictEqual(await readAll(open), known.entries.length);
  await rejects(async () => {
    for await (const _record of log.read(toIndex(1), log.lastIndex)) ok(true);
  }, /TIDEMARK_INDEX_NOT_RETAINED|were asked for/);
  files.releaseSyncs();
  await open.whenDurable();
  strictEqual(await readAll(open), known.entries.length + 1);
});
