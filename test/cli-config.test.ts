/**
 * The configuration (src/cli/config): from files, environment and flags to one set of values. Goal: every
 * fault is told, all at once, with its place, what was found and what is wanted; nothing secret is printed;
 * what the schema lets through, the options behind it take. Method: tables of damage and message over real
 * files.
 */

import { deepStrictEqual, doesNotMatch, match, ok, rejects, strictEqual } from 'node:assert';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import * as v from 'valibot';
import { parse as parseYaml } from 'yaml';
import { isTidemarkError } from '../src/base/errors.ts';
import { CHECKPOINT_DEFAULTS, resolveCheckpointOptions } from '../src/checkpoint/checkpoint-options.ts';
import { FILE_BYTES_MAX } from '../src/cli/config/file.ts';
import type { ConfigFlags } from '../src/cli/config/flags.ts';
import { CONFIG_KEYS, type ConfigKey } from '../src/cli/config/keys.ts';
import { editDistance, nearest } from '../src/cli/config/nearest.ts';
import { type Environment, requireConfig, resolveConfig } from '../src/cli/config/resolve.ts';
import type { Config } from '../src/cli/config/schema.ts';
import { describeFault, describeOrigin } from '../src/cli/config/setting.ts';
import { parseBytes, parseDuration, writeBytes, writeDuration } from '../src/cli/config/units.ts';
import { configJsonSchema } from '../src/cli/config-schema.ts';
import { BUFFERED_DEFAULTS, buffered } from '../src/log/durability.ts';
import { LOG_DEFAULTS, resolveLogOptions } from '../src/log/log-options.ts';
import { open } from '../src/node/open.ts';
import { LOCAL_DEFAULTS, resolveLocalOptions } from '../src/ordering/local-options.ts';
import { startRedisServer } from '../src/server/redis-server.ts';
import { MemoryNetwork } from '../src/testing/memory-network.ts';
import { isRewriting, ROOT, textOf } from './support/project.ts';

let folder = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-config-'));
});

after(() => rm(folder, { recursive: true, force: true }));

let files = 0;

async function fileOf(content: string | Uint8Array, ending = 'yaml'): Promise<string> {
  const path = join(folder, `${files++}.${ending}`);
  await writeFile(path, content);
  return path;
}

/** Faults as lines, the path of the file left out. */
async function faultsOf(flags: ConfigFlags, environment: Environment = {}): Promise<string[]> {
  const { config, faults } = await resolveConfig(flags, environment);
  strictEqual(config === null, faults.length > 0);
  return faults.map((fault) =>
    describeFault(fault)
      .replaceAll(`${folder}/`, '')
      .replace(/^\d+\.\w+/, 'file'),
  );
}

/** What stands at the top. */
const TABLES = 'dir, redis, http, log, durability, checkpoint, scrub, ordering, trace';

const SEGMENT_SIZE = 'a size from 64KiB to 1GiB, a multiple of 4KiB, as in 1MiB';

/** What stands in the file, and the lines that are to come of it. */
const DAMAGED: Readonly<Record<string, readonly (readonly [content: string, ...faults: string[]])[]>> = {
  yaml: [
    ['dri: x', 'file:1:1: dri: unknown key; did you mean dir?'],
    ['redis:\n  prot: 1', 'file:2:3: redis.prot: unknown key; did you mean redis.port?'],
    ['port: 1', 'file:1:1: port: unknown key; did you mean redis.port?'],
    ['zebra: 1', `file:1:1: zebra: unknown key; known are ${TABLES}`],
    ['log:\n  zebra: 1', 'file:2:3: log.zebra: unknown key; known are segmentBytes'],
    ['redis.port: 1', 'file:1:1: redis.port: a key with a dot in it, wanted a table with a key in it'],
    ['log: 5', 'file:1:1: log: found 5, wanted a table with segmentBytes'],
    ['log: [1]', 'file:1:1: log: found a list, wanted a table with segmentBytes'],
    ['dir: {a: 1}', 'file:1:1: dir: found a table, wanted a path'],
    ['dir: ""', 'file:1:1: dir: found "", wanted a path'],
    ['dir:', 'file:1:1: dir: found nothing, wanted a path'],
    ['dir: [a]', 'file:1:1: dir: found a list, wanted a path'],
    ['redis: {port: 65536}', 'file:1:9: redis.port: found 65536, wanted a port from 0 to 65535'],
    ['redis: {port: 1.5}', 'file:1:9: redis.port: found 1.5, wanted a port from 0 to 65535'],
    ['redis: {port: -1}', 'file:1:9: redis.port: found -1, wanted a port from 0 to 65535'],
    ['redis: {port: .nan}', 'file:1:9: redis.port: found NaN, wanted a port from 0 to 65535'],
    ['redis: {port: true}', 'file:1:9: redis.port: found true, wanted a port from 0 to 65535'],
    ['redis: {port: 1KiB}', 'file:1:9: redis.port: found "1KiB", wanted a port from 0 to 65535'],
    ['log: {segmentBytes: 32MB}', `file:1:7: log.segmentBytes: found "32MB", wanted ${SEGMENT_SIZE}`],
    ['log: {segmentBytes: 100001}', `file:1:7: log.segmentBytes: found 100001, wanted ${SEGMENT_SIZE}`],
    [
      'checkpoint: {checkpointOnClose: "yes"}',
      'file:1:14: checkpoint.checkpointOnClose: found "yes", wanted true or false',
    ],
    ['dir: a\ndir: b', 'file:2:1: dir: given twice, first in line 1; wanted once'],
    ['redis:\n  port: 1\nredis:\n  port: 2', 'file:3:1: redis: given twice, first in line 1; wanted once'],
    ['redis: {password: 12345}', 'file:1:9: redis.password: found a number, wanted a password'],
    ['redis: {password: ""}', 'file:1:9: redis.password: found an empty text, wanted a password'],
    [
      'redis: {password: a, passwordFile: b}',
      'file:1:22: redis.passwordFile: wanted a password or a file of one, not both',
    ],
    ['redis:\n  passwordFile: nowhere', 'file:2:3: redis.passwordFile: nowhere: there is no such file'],
    [
      'a: &x [1]\ndir: *x',
      `file:1:1: a: unknown key; known are ${TABLES}`,
      'file:2:6: dir: found an alias, wanted the value itself',
    ],
    ['? [a]\n: 1', 'file:1:3: found something else than a word as a key, wanted a key'],
    ['just a text', 'file:1:1: wanted keys with values, as in `dir: ./data`'],
    ['- dir', 'file:1:1: wanted keys with values, as in `dir: ./data`'],
    ['dir: "a', 'file:1:8: Missing closing "quote'],
    [
      // Two at once: the parser goes on.
      'dri: 1\nredis:\n  port: 99999\n  hots: b\n',
      'file:1:1: dri: unknown key; did you mean dir?',
      'file:3:3: redis.port: found 99999, wanted a port from 0 to 65535',
      'file:4:3: redis.hots: unknown key; did you mean redis.host?',
    ],
  ],
  toml: [
    ['dri = "x"', 'file:1:1: dri: unknown key; did you mean dir?'],
    ['redis.prot = 1', 'file:1:7: redis.prot: unknown key; did you mean redis.port?'],
    ['[redis]\nport = 70000', 'file:2:1: redis.port: found 70000, wanted a port from 0 to 65535'],
    ['redis = { port = 70000 }', 'file:1:11: redis.port: found 70000, wanted a port from 0 to 65535'],
    ['"redis.port" = 1', 'file:1:1: redis.port: a key with a dot in it, wanted a table with a key in it'],
    ['dir = 1979-05-27', 'file:1:1: dir: found a date, wanted a path'],
    ['dir = ["a"]', 'file:1:1: dir: found a list, wanted a path'],
    ['[[redis]]\nport = 1', 'file:1:3: redis: found a list of tables, wanted one table: `[name]`'],
    ['dir = "a"\ndir = "b"', 'file:2:1: dir: given twice, wanted once'],
    ['[log]\n[log]', 'file:2:2: log: given twice, wanted once'],
    ['dir = ', 'file:1:7: Unspecified values are invalid'],
    ['dir = "a', 'file:1:9: Unterminated string constant'],
  ],
};

for (const [ending, cases] of Object.entries(DAMAGED)) {
  for (const [content, ...wanted] of cases) {
    test(`config: ${ending}: ${JSON.stringify(content)}`, async () => {
      deepStrictEqual(await faultsOf({ config: await fileOf(content, ending) }), wanted);
    });
  }
}

for (const [name, wanted, content, ending] of [
  ['is longer than a mebibyte', 'longer than 1MiB', '#'.repeat(FILE_BYTES_MAX + 1), 'yaml'],
  ['is not text', 'not UTF-8 text', new Uint8Array([0x64, 0xff, 0xfe]), 'toml'],
  [
    'is of no known format',
    'unknown format; wanted a name that ends in .yaml, .yml or .toml',
    'dir: x',
    'json',
  ],
] as const) {
  test(`config: a file that ${name} is refused`, async () => {
    deepStrictEqual(await faultsOf({ config: await fileOf(content, ending) }), [`file: ${wanted}`]);
  });
}

test('config: a file that is not there, and a directory, are refused', async () => {
  deepStrictEqual(await faultsOf({ config: join(folder, 'none.yaml') }), [
    'none.yaml: there is no such file',
  ]);
  const [fault] = await faultsOf({ config: ROOT.replace(/\/$/, '') });
  match(fault ?? '', /unknown format/);
});

test('config: what stands inside of each other too deep is refused', async () => {
  const [lists, braces] = ['['.repeat(1e5), '{a: '.repeat(1e5)];
  for (const [content, ending] of [
    [lists, 'yaml'],
    [braces, 'yaml'],
    ['- '.repeat(1e5), 'yaml'],
    ['? '.repeat(1e5), 'yaml'],
    [`dir: ${'{a: '.repeat(20)}1${'}'.repeat(20)}`, 'yaml'],
    [`dir = ${lists}${']'.repeat(1e5)}`, 'toml'],
  ] as const) {
    const faults = await faultsOf({ config: await fileOf(content, ending) });
    match(faults[0] ?? '', /deeper than can be read$/);
    ok(faults.length <= 2, faults.join('\n'));
  }
});

test('config: blocks as deep as they may be are read', async () => {
  const lines = Array.from({ length: 512 }, (_, depth) => `${' '.repeat(depth)}a:`);
  const faults = await faultsOf({ config: await fileOf(lines.join('\n')) });
  deepStrictEqual(faults, [
    `file:1:1: a: unknown key; known are ${TABLES}`,
    `file:17:17: ${'a.'.repeat(15)}a: lists or tables inside of each other, deeper than can be read`,
  ]);
  const deeper = [...lines, `${' '.repeat(513)}a:`].join('\n');
  match((await faultsOf({ config: await fileOf(deeper) })).join(), /^file: .*deeper than can be read$/);
});

test('config: of very many faults the first hundred are told', async () => {
  const lines = Array.from({ length: 1000 }, (_, at) => `zebra${at}: 1`);
  strictEqual((await faultsOf({ config: await fileOf(lines.join('\n')) })).length, 100);
});

test('config: YAML that would grow to gigabytes is refused at its first alias', async () => {
  const lines = ['a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]'];
  for (let at = 1; at < 12; at++) lines.push(`a${at}: &a${at} [${`*a${at - 1}, `.repeat(9)}*a${at - 1}]`);
  lines.push('dir: *a11');
  const faults = await faultsOf({ config: await fileOf(lines.join('\n')) });
  strictEqual(faults.length, 13);
  strictEqual(faults.at(-1), 'file:13:6: dir: found an alias, wanted the value itself');
});

test('config: flags win over the environment, it over the file, the file over defaults', async () => {
  const config = await fileOf('dir: of file\nredis:\n  port: 1\n  host: of file\n  connectionsMax: 5\n');
  const environment = { TIDEMARK_REDIS_PORT: '2', TIDEMARK_REDIS_HOST: 'of environment' };
  const { config: resolved, origins } = await resolveConfig({ config, port: '3' }, environment);
  const { dir, redis, log } = resolved as Config;
  deepStrictEqual(
    [dir, redis.port, redis.host, redis.connectionsMax, log.segmentBytes],
    ['of file', 3, 'of environment', 5, LOG_DEFAULTS.segmentBytes],
  );
  const from = (key: string): string => describeOrigin(origins.get(key) ?? { kind: 'default' });
  deepStrictEqual(
    ['dir', 'redis.port', 'redis.host', 'log.segmentBytes'].map((key) => from(key).replace(config, 'file')),
    ['file:1:1', '--port', 'TIDEMARK_REDIS_HOST', 'default'],
  );
});

test('config: a value that another overrides is checked all the same', async () => {
  const config = await fileOf('redis: {port: 99999}');
  deepStrictEqual(await faultsOf({ config, port: '1' }), [
    'file:1:9: redis.port: found 99999, wanted a port from 0 to 65535',
  ]);
});

test('config: a schedule that contradicts itself is refused, both options named', async () => {
  const config = await fileOf('checkpoint:\n  adaptive: {kind: optimal, pauseMsMin: 60s, rpoMs: 5s}\n');
  deepStrictEqual(await faultsOf({ config }), [
    'file:2:29: checkpoint.adaptive.pauseMsMin: adaptive.pauseMsMin, 60000, and adaptive.rpoMs, 5000, ' +
      'contradict each other: the first must not be above the second',
  ]);
  const whole = ['checkpoint.compactLogAfterCheckpoint=false', 'checkpoint.logBytesMax=1GiB'];
  deepStrictEqual(await faultsOf({ set: [...whole] }), [], 'the default of the other is no wish');
  deepStrictEqual(await faultsOf({ set: [whole[0]!, 'checkpoint.logBytesMax=1MiB'] }), [
    '--set checkpoint.compactLogAfterCheckpoint: checkpoint.compactLogAfterCheckpoint: ' +
      'compactLogAfterCheckpoint, false, and logBytesMax, 1048576, contradict each other: ' +
      'a log that is kept whole has no limit',
  ]);
  const faults = await faultsOf({ set: ['checkpoint.adaptive.intervalMs=5s'] });
  strictEqual(faults.length, 1);
});

/** The choice that a key makes sense with. */
function kindFor(name: string): string[] {
  if (/^durability\.(?!kind)/.test(name)) return ['durability.kind=buffered'];
  if (/adaptive\.interval/.test(name)) return ['checkpoint.adaptive.kind=stepwise'];
  return /adaptive\.(?!kind)/.test(name) ? ['checkpoint.adaptive.kind=optimal'] : [];
}

test('config: every key can be given in every source, with the same outcome', async () => {
  for (const key of CONFIG_KEYS.values()) {
    if (key.name.startsWith('redis.password')) continue;
    const set = kindFor(key.name);
    // Without a default are a port, and the times of the adaptive schedule.
    const value = key.default ?? (key.name === 'http.port' ? 9401 : 60_000);
    const written = key.write(value);
    const fields = key.name.split('.').map((field, depth) => `${'  '.repeat(depth)}${field}:`);
    const yaml = `${fields.join('\n')} "${written}"`;
    const toml = `${key.name} = "${written}"`;
    const outcomes = [
      await requireConfig({ config: await fileOf(yaml), set }, {}),
      await requireConfig({ config: await fileOf(toml, 'toml'), set }, {}),
      await requireConfig({ set }, { [key.variable]: written }),
      await requireConfig({ set: [...set, `${key.name}=${written}`] }, {}),
    ].map((config) => at(config, key));
    deepStrictEqual(outcomes, Array(4).fill(value), key.name);
  }
});

function at(config: Config, { name }: Pick<ConfigKey, 'name'>): unknown {
  return name.split('.').reduce<unknown>((value, field) => (value as Record<string, unknown>)[field], config);
}

test('config: variables of our tables that are no keys are faults, others are left alone', async () => {
  const kubernetes = {
    TIDEMARK_PORT: 'tcp://10.0.0.1:6401',
    TIDEMARK_SERVICE_HOST: '10.0.0.1',
    TIDEMARK: 'x',
  };
  deepStrictEqual(await faultsOf({}, kubernetes), []);
  deepStrictEqual(
    await faultsOf({}, { TIDEMARK_REDIS_PROT: '1', TIDEMARK_DIRR: 'x', TIDEMARK_LOG_ZEBRA: '' }),
    [
      'TIDEMARK_REDIS_PROT: unknown variable; did you mean TIDEMARK_REDIS_PORT?',
      'TIDEMARK_DIRR: unknown variable; did you mean TIDEMARK_DIR?',
      'TIDEMARK_LOG_ZEBRA: unknown variable; known are TIDEMARK_LOG_SEGMENT_BYTES',
    ],
  );
  deepStrictEqual(await faultsOf({}, { TIDEMARK_REDIS_PORT: 'http' }), [
    'TIDEMARK_REDIS_PORT: redis.port: found "http", wanted a port from 0 to 65535',
  ]);
});

test('config: faults of flags name the flag', async () => {
  deepStrictEqual(await faultsOf({ port: 'x', set: ['a=b', 'redis.host', 'redis.port=1'] }), [
    `--set a: a: unknown key; known are ${TABLES}`,
    '--set redis.host: redis.host: wanted --set redis.host=value',
    '--set redis.port: redis.port: given twice, wanted once',
    '--port: redis.port: found "x", wanted a port from 0 to 65535',
  ]);
});

test('config: bounds of what may be lost are faults where nothing may', async () => {
  const wanted = 'wanted only where durability.kind is buffered';
  const config = await fileOf('durability: {intervalMs: 250ms}');
  deepStrictEqual(await faultsOf({ config }), [`file:1:14: durability.intervalMs: ${wanted}`]);
  const { durability } = await requireConfig({ config, durability: 'buffered' }, {});
  deepStrictEqual(durability, { kind: 'buffered', ...BUFFERED_DEFAULTS, intervalMs: 250 });
  deepStrictEqual(await faultsOf({ durability: 'bufered' }), [
    '--durability: durability.kind: found "bufered", wanted one of synced, buffered',
  ]);
});

test('config: the password comes out of its file, and the stronger source holds', async () => {
  const passwordFile = await fileOf('of file\nsecond line\n', 'txt');
  const empty = await fileOf('\n', 'txt');
  const password = async (flags: ConfigFlags, environment: Environment): Promise<string | undefined> =>
    (await requireConfig(flags, environment)).redis.password;
  strictEqual(await password({ passwordFile }, {}), 'of file');
  strictEqual(await password({}, { TIDEMARK_REDIS_PASSWORD_FILE: passwordFile }), 'of file');
  strictEqual(await password({ passwordFile }, { TIDEMARK_REDIS_PASSWORD: 'of environment' }), 'of file');
  const config = await fileOf(`redis: {passwordFile: "${passwordFile}"}`);
  strictEqual(await password({ config }, { TIDEMARK_REDIS_PASSWORD: 'of environment' }), 'of environment');
  strictEqual(await password({}, {}), undefined);
  match((await faultsOf({ passwordFile: empty })).join(), /: its first line is empty$/);
});

test('config: no fault holds a password, wherever it stands', async () => {
  const secret = 'hunter2hunter2';
  const config = await fileOf(`redis:\n  password: [${secret}]\n  passwrod: ${secret}\n`);
  const faults = [
    ...(await faultsOf({ config, set: [`redis.pasword=${secret}`] }, { TIDEMARK_REDIS_PASSWRD: secret })),
    ...(await faultsOf({ config: await fileOf(`redis = { password = "${secret}`, 'toml') })),
    ...(await faultsOf({ config: await fileOf(`redis: {password: "${secret}`) })),
  ];
  ok(faults.length >= 6, faults.join('\n'));
  doesNotMatch(faults.join('\n'), new RegExp(secret));
});

test('config: all faults are one error', async () => {
  const config = await fileOf('dri: 1\nlog: 2');
  await rejects(requireConfig({ config }, {}), (error) => {
    ok(isTidemarkError(error, 'TIDEMARK_CONFIG_INVALID'));
    strictEqual(error.remedy, 'fix-call');
    match(error.message, /has 2 faults:\n {2}.*:1:1: dri: .*\n {2}.*:2:1: log: /);
    return true;
  });
});

test('config: units are read and written', () => {
  const sizes = {
    '1KiB': 1024,
    '1.5KiB': 1536,
    '4097B': 4097,
    '3 MiB': 3 * 1024 ** 2,
    '2TiB': 2 * 1024 ** 4,
  };
  for (const [text, bytes] of Object.entries(sizes)) strictEqual(parseBytes(text), bytes);
  const times = { '250ms': 250, '10s': 10_000, '1.5m': 90_000, '2h': 7_200_000, '7': 7 };
  for (const [text, ms] of Object.entries(times)) strictEqual(parseDuration(text), ms);
  for (const bytes of [0, 1, 1023, 1024, 1536, 1024 ** 2 + 1, 5 * 1024 ** 3])
    strictEqual(parseBytes(writeBytes(bytes)), bytes);
  for (const ms of [0, 1, 999, 1000, 90_000, 3_600_000]) strictEqual(parseDuration(writeDuration(ms)), ms);
  deepStrictEqual([writeBytes(32 * 1024 ** 2), writeDuration(10_000)], ['32MiB', '10s']);
});

test('config: the nearest word is found, and none that is far', () => {
  deepStrictEqual(
    [editDistance('', 'ab'), editDistance('dri', 'dir'), editDistance('abc', 'axc'), editDistance('a', 'ab')],
    [2, 1, 1, 1],
  );
  const words = ['start', 'status', 'serve'];
  deepStrictEqual(
    ['strat', 'STATUS', 'serv', 'zebra'].map((word) => nearest(word, words)),
    ['start', 'status', 'serve', null],
  );
});

/** Where the values of a table end up. */
/** Options of options by `outer.inner`; without those of `adaptive`, whose kinds differ. */
function flat(options: object): object {
  return Object.fromEntries(
    Object.entries(options).flatMap(([name, value]) => {
      if (name === 'adaptive') return [];
      if (typeof value !== 'object') return [[name, value]];
      return Object.entries(value as object).map(([inner, of]) => [`${name}.${inner}`, of]);
    }),
  );
}

function nested(name: string, value: unknown): object {
  const [outer, inner] = name.split('.') as [string, string?];
  return { [outer]: inner === undefined ? value : { [inner]: value } };
}

const RESOLVERS: Readonly<Record<string, (options: object) => object>> = {
  log: resolveLogOptions,
  durability: buffered,
  checkpoint: resolveCheckpointOptions,
  ordering: resolveLocalOptions,
};

test('config: the schema knows every option, with the range and default of the option', () => {
  const defaults = {
    log: LOG_DEFAULTS,
    durability: BUFFERED_DEFAULTS,
    checkpoint: CHECKPOINT_DEFAULTS,
    ordering: LOCAL_DEFAULTS,
  };
  for (const [table, options] of Object.entries(defaults)) {
    const keys = [...CONFIG_KEYS.values()].filter(
      ({ name }) => name.startsWith(`${table}.`) && !/^durability\.kind|^checkpoint\.adaptive/.test(name),
    );
    deepStrictEqual(Object.fromEntries(keys.map((key) => [key.name.slice(table.length + 1), key.default])), {
      ...flat(options),
    });
    for (const key of keys) {
      for (const value of [
        -1,
        0,
        1,
        2,
        63,
        64,
        65,
        ...around(1024, 4096, 60_000, 65_536, 1e9, 2 ** 28, 2 ** 24, 2 ** 25, 2 ** 30),
      ]) {
        const isTaken = (): boolean => {
          try {
            RESOLVERS[table]?.(nested(key.name.slice(table.length + 1), value));
            return true;
          } catch (error) {
            ok(isTidemarkError(error, 'TIDEMARK_OPTION_INVALID'));
            return false;
          }
        };
        strictEqual(v.safeParse(key.schema, value).success, isTaken(), `${key.name}: ${value}`);
      }
    }
  }
});

test('config: the schema has the ranges of the Redis port', async (t) => {
  const node = await open({ dir: 'memory:' });
  t.after(() => node.close());
  const keys = [...CONFIG_KEYS.values()].filter(({ name }) => /^redis\..*(Max|port)$/.test(name));
  strictEqual(keys.length, 5);
  const limits = around(1, 65_535, 1_000_000, 2 ** 20, 2 ** 21, 2 ** 32, 2 ** 36);
  for (const key of keys) {
    for (const value of limits) {
      const { listen } = new MemoryNetwork();
      const options = { ordering: node.ordering, port: 1, listen, [key.name.slice('redis.'.length)]: value };
      const isTaken = await startRedisServer(options).then(
        async (server) => {
          await server.close();
          return true;
        },
        (error: unknown) => {
          ok(isTidemarkError(error, 'TIDEMARK_OPTION_INVALID'));
          return false;
        },
      );
      strictEqual(v.safeParse(key.schema, value).success, isTaken, `${key.name}: ${value}`);
    }
  }
});

function around(...values: readonly number[]): number[] {
  return values.flatMap((value) => [value - 1, value, value + 1, value - 4096, value + 4096]);
}

test('config: names of variables are one to one', () => {
  const variables = [...CONFIG_KEYS.values()].map(({ variable }) => variable);
  strictEqual(new Set(variables).size, CONFIG_KEYS.size);
  ok(variables.includes('TIDEMARK_REDIS_CONNECTIONS_MAX'));
});

test('config: the JSON Schema describes every key, refuses others, and has no secrets of ours', () => {
  type Schema = {
    properties?: Record<string, Schema>;
    additionalProperties?: boolean;
    description?: string;
    facts?: unknown;
  };
  const schema = configJsonSchema() as Schema;
  strictEqual(schema.additionalProperties, false);
  for (const { name, about } of CONFIG_KEYS.values()) {
    const found = name
      .split('.')
      .reduce<Schema | undefined>((current, field) => current?.properties?.[field], schema);
    ok(found?.description?.startsWith(about) === true, name);
    strictEqual(found.facts, undefined);
  }
});

const DOCUMENT = 'docs/operations.md';
const TABLE = /(\| key \| default \| wanted \| what for \|\n\| --- \| --- \| --- \| --- \|\n)((?:\|.*\n)*)/;

test(`config: the table of ${DOCUMENT} is the schema`, async () => {
  const rows = [...CONFIG_KEYS.values()].map((key) => {
    const value = key.default === undefined ? '–' : `\`${key.write(key.default)}\``;
    return `| \`${key.name}\` | ${value} | ${key.wanted} | ${key.about} |\n`;
  });
  const text = textOf(DOCUMENT);
  const rewritten = text.replace(TABLE, (_, head: string) => head + rows.join(''));
  if (isRewriting) await writeFile(ROOT + DOCUMENT, rewritten);
  else strictEqual(text, rewritten, 'REWRITE=1 npm test writes the table anew; read the difference');
});

test(`config: the examples of ${DOCUMENT} are valid, and mean the same`, async () => {
  const secret = await fileOf('secret\n', 'txt');
  const [yaml, toml] = ['yaml', 'toml'].map((format) => {
    const block = new RegExp(`\`\`\`${format}\\n(.*?)\`\`\``, 's').exec(textOf(DOCUMENT))?.[1] ?? '';
    return block.replace('./password', secret);
  });
  strictEqual((parseYaml(yaml ?? '') as { dir: string }).dir, './data');
  const resolved = await requireConfig({ config: await fileOf(yaml ?? '') }, {});
  deepStrictEqual(resolved, await requireConfig({ config: await fileOf(toml ?? '', 'toml') }, {}));
  strictEqual(resolved.log.segmentBytes, 64 * 1024 ** 2);
});
