/**
 * The verbs of the command line as a shell sees them (src/cli). Goal: exit codes and JSON that scripts can
 * rely on, help that shows how, errors that say what to do next. Method: the real program over real
 * directories and a real port.
 */

import { deepStrictEqual, doesNotMatch, match, ok, strictEqual } from 'node:assert';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { buildProgram } from '../src/cli/program.ts';
import { askOnce } from '../src/cli/resp-client.ts';
import { open } from '../src/node/open.ts';
import { ROOT } from './support/project.ts';
import { startTidemark, tidemark, tidemarkWith } from './support/tidemark.ts';

const log = { segmentBytes: 64 * 1024 };

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'tidemark-verbs-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Every verb as one types it: `inspect log` and so on; those that only group others left out. */
function verbs(): { readonly words: readonly string[]; readonly help: string; readonly options: string[] }[] {
  const program = buildProgram({ done: () => undefined });
  const leaves = (command: typeof program, words: readonly string[]): ReturnType<typeof verbs> =>
    command.commands.length === 0
      ? [{ words, help: helpOf(command), options: command.options.map(({ long }) => long ?? '') }]
      : command.commands.flatMap((verb) => leaves(verb, [...words, verb.name()]));
  return leaves(program, []);
}

function helpOf(command: ReturnType<typeof buildProgram>): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
}

test('cli: every verb has --json, and examples of itself in its help', () => {
  const all = verbs();
  ok(all.length >= 12);
  for (const { words, help, options } of all) {
    ok(options.includes('--json'), words.join(' '));
    match(help, new RegExp(`Examples?:\\n(  .*\\n)*  .*tidemark ${words.join(' ')}`), words.join(' '));
  }
});

test('cli: exit code 0 and the version', async () => {
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  deepStrictEqual(await tidemark('--version'), { code: 0, out: `${version}\n`, err: '' });
});

/** A wrong call, and what it is answered. */
const WRONG_CALLS: readonly (readonly [words: string, answer: RegExp])[] = [
  ['strat', /unknown command 'strat'\n\(Did you mean start\?\)/],
  ['inspect lgo x', /unknown command 'lgo'\n\(Did you mean log\?\)/],
  ['start --prot 1', /unknown option '--prot'\n\(Did you mean --port\?\)/],
  ['verify', /missing required argument 'dir'/],
  ['serve', /required option '--config <file>' not specified/],
  ['completion tcsh', /Allowed choices are bash, zsh, fish/],
  ['inspect log x --first y', /y is not a whole number/],
  ['bench --seconds 0', /wanted a whole number from 1 to 3600/],
  ['start --port x', /TIDEMARK_CONFIG_INVALID.*a fault:\n {2}--port: redis\.port: found "x", wanted a port/],
  ['status --port 99999', /--port: redis\.port: found 99999|found "99999"/],
];

for (const [words, answer] of WRONG_CALLS) {
  test(`cli: exit code 1 for a wrong call: ${words}`, async () => {
    const { code, out, err } = await tidemark(...words.split(' '));
    deepStrictEqual([code, out], [1, '']);
    match(err, answer);
  });
}

test('cli: a wrong call is one JSON document where JSON was asked for', async () => {
  for (const words of ['strat', 'verify', 'start --port x']) {
    const { code, out, err } = await tidemark(...words.split(' '), '--json');
    const { error } = JSON.parse(out) as { error: { code: string; remedy: string } };
    match(error.code, /^TIDEMARK_(OPTION|CONFIG)_INVALID$/);
    deepStrictEqual([code, error.remedy, err], [1, 'fix-call', '']);
  }
});

test('cli: exit code 2 when no node is there, with what to do', async () => {
  // Port 1 is reserved, and nobody listens there.
  for (const verb of ['status', 'checkpoint']) {
    const asText = await tidemark(verb, '--port', '1');
    strictEqual(asText.code, 2);
    match(asText.err, /TIDEMARK_REFUSED: nobody answers at 127\.0\.0\.1:1: start the node, or say by --host/);
    const asJson = await tidemark(verb, '--port', '1', '--json');
    strictEqual((JSON.parse(asJson.out) as { error: { remedy: string } }).error.remedy, 'retry');
  }
});

// Exit code 3: test/cli-checkpoint.test.ts.
test('cli: exit code 4 for a damaged log', async (t) => {
  const dir = join(await folder(t), 'data');
  const node = await open({ dir, log, checkpoint: { checkpointOnClose: false } });
  for (let key = 0; key < 20; key++) await node.submit('SET', `key ${key}`, 'x'.repeat(1000));
  await node.close();
  const [segment = ''] = (await readdir(join(dir, 'log'))).filter((name) => /^1-.*\.log$/.test(name));
  const path = join(dir, 'log', segment);
  const bytes = await readFile(path);
  bytes[4096 + 100]! ^= 1;
  await writeFile(path, bytes);
  const started = await tidemark('start', '--dir', dir, '--port', '0');
  strictEqual(started.code, 4);
  match(started.err, /TIDEMARK_LOG_DAMAGED/);
  strictEqual((await tidemark('verify', dir)).code, 4);
});

test('cli: exit code 5 for a bug, with its stack', async () => {
  // Throws as soon as the program listens for what nobody caught.
  const plant = `process.on('newListener', (event) => {
    if (event === 'unhandledRejection') setImmediate(() => { throw new Error('planted'); });
  });`;
  const preload = `--import=data:text/javascript,${encodeURIComponent(plant)}`;
  const { code, err } = await tidemarkWith({ NODE_OPTIONS: preload }, 'status', '--port', '1');
  strictEqual(code, 5);
  match(err, /tidemark: Error: planted\n {4}at /);
});

test('cli: serve runs by its file, and tells its life in JSON lines', async (t) => {
  const path = await folder(t);
  const config = join(path, 'tidemark.toml');
  const password = join(path, 'password');
  await writeFile(password, 'secret\n');
  const redis = `{ port = 0, passwordFile = ${JSON.stringify(password)} }`;
  await writeFile(config, `dir = ${JSON.stringify(join(path, 'data'))}\nredis = ${redis}\n`);
  const serving = startTidemark(t, { TIDEMARK_LOG_SEGMENT_BYTES: '64KiB' }, 'serve', '--config', config);
  const listening = JSON.parse((await serving.nextLine()) ?? '') as {
    event: string;
    port: number;
    dir: string;
  };
  deepStrictEqual([listening.event, listening.dir], ['listening', join(path, 'data')]);
  const port = String(listening.port);

  const refused = await tidemark('status', '--port', port);
  strictEqual(refused.code, 1);
  match(refused.err, /NOAUTH.*give its password by --password-file or TIDEMARK_REDIS_PASSWORD/);
  const wrong = await tidemarkWith({ TIDEMARK_REDIS_PASSWORD: 'other' }, 'status', '--port', port);
  deepStrictEqual([wrong.code, /WRONGPASS/.test(wrong.err)], [1, true]);
  const asked = await tidemark('status', '--port', port, '--password-file', password, '--json');
  const fields = JSON.parse(asked.out) as { port: number; last_index: number; refusal: string };
  deepStrictEqual([asked.code, fields.port, fields.refusal], [0, listening.port, 'none']);
  const shown = await tidemarkWith({ TIDEMARK_REDIS_PASSWORD: 'secret' }, 'status', '--port', port);
  match(shown.out, /^state bytes +\d.*B\n/m);
  const taken = await tidemarkWith({ TIDEMARK_REDIS_PASSWORD: 'secret' }, 'checkpoint', '--port', port);
  deepStrictEqual([taken.code, taken.err], [0, '']);

  serving.child.kill('SIGTERM');
  const { code, out, err } = await serving.ended();
  deepStrictEqual([code, err], [0, '']);
  deepStrictEqual(
    out
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string; level: string })
      .filter(({ level }) => level !== 'warn') // Late or slow, as the machine is.
      .map(({ event }) => event),
    ['checkpoint-taken', 'stopping', 'stopped'],
  );
  doesNotMatch(out, /secret/);
  const segments = (await readdir(join(path, 'data/log'))).filter((name) => name.endsWith('.log'));
  strictEqual((await readFile(join(path, 'data/log', segments[0] ?? ''))).length, 64 * 1024);
});

test('cli: start answers before the sync when durability is buffered, and says so', async (t) => {
  const dir = join(await folder(t), 'data');
  for (const [kind, means, isSynced] of [
    ['synced', /every OK is on disk before you see it/, true],
    ['buffered', /an OK is on disk a moment later/, false],
  ] as const) {
    const later = kind === 'buffered' ? ['--set', 'durability.intervalMs=1m'] : [];
    const node = startTidemark(t, {}, 'start', '--dir', dir, '--port', '0', '--durability', kind, ...later);
    let port = 0;
    let line: string | null = '';
    while (line !== null && !line.includes('redis-cli')) {
      port = Number(/ready.*:(\d+),/.exec(line)?.[1] ?? port);
      line = await node.nextLine();
    }
    match(line ?? '', means);
    const syncsNow = async (): Promise<number> => {
      const { out } = await tidemark('status', '--port', String(port), '--json');
      return (JSON.parse(out) as { log_syncs: number }).log_syncs;
    };
    const before = await syncsNow();
    strictEqual(await askOnce(port, ['SET', 'a', 'b']), 'OK');
    strictEqual((await syncsNow()) > before, isSynced, kind);
    node.child.kill('SIGTERM');
    strictEqual((await node.ended()).code, 0);
  }
});

test('cli: serve does not start with a fault, and tells all of them', async (t) => {
  const config = join(await folder(t), 'tidemark.yaml');
  await writeFile(config, 'dri: x\nredis: {port: 99999}\n');
  const { code, out, err } = await tidemark('serve', '--config', config);
  deepStrictEqual([code, out], [1, '']);
  match(err, /has 2 faults:\n.*:1:1: dri: unknown key; did you mean dir\?\n.*:2:9: redis\.port: found 99999/);
});

test('cli: what a taken port or a locked directory says', async (t) => {
  const path = await folder(t);
  const dir = join(path, 'data');
  const first = startTidemark(t, {}, 'start', '--dir', dir, '--port', '0', '--json');
  const { port } = JSON.parse((await first.nextLine()) ?? '') as { port: number };
  const sameDirectory = await tidemark('start', '--dir', dir, '--port', '0');
  deepStrictEqual([sameDirectory.code, /TIDEMARK_LOCKED/.test(sameDirectory.err)], [1, true]);
  const samePort = await tidemark('start', '--dir', join(path, 'other'), '--port', String(port));
  match(samePort.err, /TIDEMARK_ADDRESS_UNAVAILABLE/);
  deepStrictEqual((await readdir(path)).sort(), ['data']);
  strictEqual(await askOnce(port, ['SET', 'a', 'b']), 'OK');
  first.child.kill('SIGINT');
  strictEqual((await first.ended()).code, 0);
});

test('cli: another server is told from a node', async (t) => {
  const silent = spawn(process.execPath, [
    '-e',
    `require('node:net').createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\\r\\n\\r\\n'))
      .listen(0, '127.0.0.1', function () { console.log(this.address().port); });`,
  ]);
  t.after(() => silent.kill('SIGKILL'));
  const port = String(await new Promise((resolve) => silent.stdout.once('data', resolve))).trim();
  const { code, err } = await tidemark('status', '--port', port);
  strictEqual(code, 1);
  match(err, /does not speak the Redis protocol: is it another port of the node\?/);
});

test('cli: config check shows where values come from, and hides the password', async (t) => {
  const config = join(await folder(t), 'tidemark.yaml');
  await writeFile(config, 'redis:\n  password: hunter2\n  port: 6500\n');
  const asText = await tidemarkWith({ TIDEMARK_LOG_SEGMENT_BYTES: '64KiB' }, 'config', 'check', config);
  strictEqual(asText.code, 0);
  match(asText.out, /^redis\.port +6500 +.*tidemark\.yaml:3:3$/m);
  match(asText.out, /^redis\.password +\(hidden\) +.*:2:3$/m);
  match(asText.out, /^log\.segmentBytes +64KiB +TIDEMARK_LOG_SEGMENT_BYTES$/m);
  const asJson = await tidemark('config', 'check', config, '--set', 'dir=x', '--json');
  const { keys } = JSON.parse(asJson.out) as { keys: { key: string; value: unknown; origin: unknown }[] };
  deepStrictEqual(keys[0], { key: 'dir', value: 'x', origin: { kind: 'flag', flag: '--set dir' } });
  doesNotMatch(asText.out + asJson.out, /hunter2/);
  await writeFile(config, 'redis:\n  prot: 1\n');
  const faulty = await tidemark('config', 'check', config, '--json');
  const { ok: isOk, faults } = JSON.parse(faulty.out) as {
    ok: boolean;
    faults: { origin: { line: number } }[];
  };
  deepStrictEqual([faulty.code, isOk, faults.map(({ origin }) => origin.line)], [1, false, [2]]);
});

test('cli: config schema is JSON', async () => {
  const { code, out } = await tidemark('config', 'schema');
  const schema = JSON.parse(out) as { properties: object };
  deepStrictEqual(
    [code, Object.keys(schema.properties)],
    [0, ['dir', 'redis', 'http', 'log', 'durability', 'checkpoint', 'scrub', 'ordering', 'trace']],
  );
});

test('cli: colours on request only, and never in JSON', async () => {
  const escape = '\u001b[';
  const plain = await tidemark('strat');
  const forced = await tidemarkWith({ FORCE_COLOR: '1' }, 'strat');
  const json = await tidemarkWith({ FORCE_COLOR: '1' }, 'strat', '--json');
  const help = await tidemarkWith({ FORCE_COLOR: '1' }, 'start', '--help');
  deepStrictEqual(
    [plain.err, forced.err, json.out, help.out].map((text) => text.includes(escape)),
    [false, true, false, true],
  );
});

test('cli: a pipe that is closed early ends a listing quietly', async (t) => {
  const dir = join(await folder(t), 'data');
  const node = await open({ dir, log });
  for (let key = 0; key < 3000; key++) await node.submit('SET', `key ${key}`, '');
  await node.close();
  const shell = spawn('bash', [
    '-c',
    '"$0" "$1" inspect log "$2" | head -n 1; echo "${PIPESTATUS[0]}"',
    process.execPath,
    join(ROOT, 'bin/tidemark.mjs'),
    dir,
  ]);
  let [out, err] = ['', ''];
  shell.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  shell.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  await new Promise((resolve) => shell.on('close', resolve));
  match(out, /^ +index .*\n0\n$/);
  strictEqual(err, '');
});
