/**
 * Progress (src/cli/progress.ts, counting-file-system.ts). Goal: nothing for what is over soon, a bar on a
 * terminal, few lines elsewhere, and counts that are those of the bytes moved. Method: a terminal that keeps
 * what is written, a clock that a test moves, real files.
 */

import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bytesIn, countingFileSystem } from '../src/cli/counting-file-system.ts';
import { formatDuration } from '../src/cli/output.ts';
import { Progress } from '../src/cli/progress.ts';

class Screen {
  readonly isTTY: boolean;
  readonly written: string[] = [];
  nowMs = 1000;

  constructor(kind: 'terminal' | 'file') {
    this.isTTY = kind === 'terminal';
  }

  write(text: string): void {
    this.written.push(text);
  }

  get doors() {
    return { stream: this, now: () => this.nowMs };
  }
}

test('progress: what is over within half a second shows nothing', () => {
  const screen = new Screen('terminal');
  const progress = new Progress('verifying', 'bytes', screen.doors);
  for (; screen.nowMs < 1500; screen.nowMs += 50) progress.update(screen.nowMs, 10_000);
  progress.end();
  deepStrictEqual(screen.written, []);
});

test('progress: a terminal has a bar with percentage, rate and time left, and none at the end', () => {
  const screen = new Screen('terminal');
  const progress = new Progress('verifying', 'bytes', screen.doors);
  screen.nowMs += 2000;
  progress.update(25 * 1024 ** 2, 100 * 1024 ** 2);
  progress.update(26 * 1024 ** 2, 100 * 1024 ** 2); // Too soon to be seen.
  screen.nowMs += 2000;
  progress.update(200 * 1024 ** 2, 100 * 1024 ** 2); // The total was an estimate.
  progress.end();
  deepStrictEqual(screen.written, [
    `\r\u001b[Kverifying [${'#'.repeat(6)}${'.'.repeat(18)}] 25 %, 12.5 MiB/s, 6 s left`,
    `\r\u001b[Kverifying [${'#'.repeat(24)}] 100 %, 50.0 MiB/s`,
    '\r\u001b[K',
  ]);
});

test('progress: elsewhere there is a line every ten seconds at most', () => {
  const screen = new Screen('file');
  const progress = new Progress('replaying', { one: 'entry', many: 'entries' }, screen.doors);
  for (let done = 0; done < 300; done++) {
    screen.nowMs += 100;
    progress.update(done, 300);
  }
  progress.end();
  deepStrictEqual(screen.written, [
    'tidemark: replaying: 33 %, 10 entries/s, 21 s left\n',
    'tidemark: replaying: 66 %, 10 entries/s, 11 s left\n',
    'tidemark: replaying: 99 %, 10 entries/s, 1 s left\n',
  ]);
});

test('progress: nothing of an empty whole is done', () => {
  const screen = new Screen('terminal');
  const progress = new Progress('verifying', 'bytes', screen.doors);
  screen.nowMs += 2000;
  progress.update(0, 0);
  match(screen.written.join(), /100 %, 0 B\/s$/);
});

test('progress: times are told in the unit that fits', () => {
  deepStrictEqual(
    [0.2, 59.5, 120, 5399, 7200].map((seconds) => formatDuration(seconds)),
    ['1 s', '60 s', '2 min', '90 min', '2 h'],
  );
});

test('progress: bytes read and written are counted, in both ways of reading', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-progress-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await writeFile(join(dir, 'a'), Buffer.alloc(3000));
  await writeFile(join(dir, 'b'), Buffer.alloc(500));
  let told = { readBytes: 0, writtenBytes: 0 };
  const fs = countingFileSystem((traffic) => {
    ok(traffic.readBytes >= told.readBytes && traffic.writtenBytes >= told.writtenBytes);
    told = { ...traffic };
  });
  strictEqual(await bytesIn(fs, dir), 3500);
  strictEqual(await bytesIn(fs, join(dir, 'nowhere')), 0);
  const file = await fs.open(join(dir, 'a'), 'write');
  await file.read(Buffer.alloc(1000), 0);
  file.readSync(Buffer.alloc(4000), 0); // The file ends before.
  await file.write(Buffer.alloc(100), 0);
  file.writeSync(Buffer.alloc(11), 0);
  await file.close();
  deepStrictEqual(told, { readBytes: 4000, writtenBytes: 111 });
});
