/**
 * From all sources to one configuration: flags win over the environment, the environment over the file, the
 * file over defaults. Every value is checked, also one that another overrides; all faults are told at once.
 */

import * as v from 'valibot';
import { TidemarkError } from '../../base/errors.ts';
import { checkpointFault, memoryDefaults } from './checkpoints.ts';
import { readEnvironment } from './environment.ts';
import { readConfigFile, readText } from './file.ts';
import { type ConfigFlags, readFlags } from './flags.ts';
import { CONFIG_KEYS } from './keys.ts';
import { CONFIG_SCHEMA, type Config } from './schema.ts';
import { scrubFault } from './scrub.ts';
import { describeFault, describeFound, type Fault, type Origin, type Setting } from './setting.ts';

export interface Resolution {
  /** Null when there are faults. */
  readonly config: Config | null;
  /** Key to where its value comes from; of keys that have one. */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly faults: readonly Fault[];
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Whoever has more to correct starts with these. */
const FAULTS_MAX = 100;

/** A password has some dozens of characters. */
const PASSWORD_FILE_BYTES_MAX = 4096;

export async function resolveConfig(flags: ConfigFlags, environment: Environment): Promise<Resolution> {
  const sources = [
    flags.config === undefined ? { settings: [], faults: [] } : await readConfigFile(flags.config),
    readEnvironment(environment),
    readFlags(flags),
  ];
  const faults = sources.flatMap((source) => source.faults);
  const chosen = new Map<string, Setting>();
  for (const setting of sources.flatMap(({ settings }) => settings)) {
    const fault = checkValue(setting);
    if (fault === null) chosen.set(setting.key, setting);
    else faults.push(fault);
  }
  const password = await readPassword(chosen);
  if (password !== null && 'message' in password) faults.push(password);
  else if (password !== null) chosen.set(password.key, password);
  const origins = new Map([...chosen.values()].map(({ key, origin }) => [key, origin]));
  for (const { name, default: value } of CONFIG_KEYS.values()) {
    if (value !== undefined && !origins.has(name)) origins.set(name, { kind: 'default' });
  }
  faults.push(...unusedBounds(chosen));
  faults.sort((left, right) => lineOf(left) - lineOf(right));
  const config =
    faults.length > 0
      ? null
      : v.parse(CONFIG_SCHEMA, treeOf([...chosen.values(), ...memoryDefaults(chosen)]));
  const fault = config && (checkpointFault(config, chosen) ?? scrubFault(config, chosen));
  if (fault !== null) return { config: null, origins, faults: [fault] };
  return { config, origins, faults: faults.slice(0, FAULTS_MAX) };
}

/** The same, for whoever cannot go on with faults. */
export async function requireConfig(flags: ConfigFlags, environment: Environment): Promise<Config> {
  const { config, faults } = await resolveConfig(flags, environment);
  if (config !== null) return config;
  const lines = faults.map((fault) => `\n  ${describeFault(fault)}`).join('');
  const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`;
  throw new TidemarkError('TIDEMARK_CONFIG_INVALID', `the configuration has ${count}:${lines}`, {
    remedy: 'fix-call',
    facts: { faults: faults.length },
  });
}

function checkValue({ key, value, origin }: Setting): Fault | null {
  const known = CONFIG_KEYS.get(key);
  if (known === undefined || v.safeParse(known.schema, value).success) return null;
  const found = describeFound(value, known.isSecret);
  return { key, origin, message: `found ${found}, wanted ${known.wanted}` };
}

/** Bounds of what may be lost, where nothing may: somebody believes in something else than holds. */
function unusedBounds(chosen: ReadonlyMap<string, Setting>): Fault[] {
  if (chosen.get('durability.kind')?.value === 'buffered') return [];
  return [...chosen.values()]
    .filter(({ key }) => key.startsWith('durability.') && key !== 'durability.kind')
    .map(({ key, origin }) => ({ key, origin, message: 'wanted only where durability.kind is buffered' }));
}

/**
 * The password out of its file. Of a password and a file of one, the stronger source holds; from one source
 * only one of them makes sense.
 */
async function readPassword(chosen: Map<string, Setting>): Promise<Setting | Fault | null> {
  const given = chosen.get('redis.password');
  const file = chosen.get('redis.passwordFile');
  if (file === undefined) return null;
  const { key, origin } = file;
  if (given !== undefined) {
    if (given.origin.kind === origin.kind) {
      return { key, origin, message: 'wanted a password or a file of one, not both' };
    }
    if (RANK[given.origin.kind] > RANK[origin.kind]) return null;
  }
  const path = file.value as string; // It passed the schema.
  const text = await readText(path, PASSWORD_FILE_BYTES_MAX);
  if (typeof text !== 'string') return { key, origin, message: `${path}: ${text.message}` };
  const password = text.split(/\r?\n/)[0] ?? '';
  if (password === '') return { key, origin, message: `${path}: its first line is empty` };
  return { key: 'redis.password', value: password, origin };
}

const RANK: Readonly<Record<Origin['kind'], number>> = { default: 0, file: 1, environment: 2, flag: 3 };

/** The order of the file; then what is in no line of it, in the order it was found. */
function lineOf({ origin }: Fault): number {
  return origin.kind === 'file' && origin.line !== null ? origin.line : Number.MAX_SAFE_INTEGER;
}

/** `redis.port` of settings becomes `{ redis: { port } }`. The names are those of the schema. */
function treeOf(settings: readonly Setting[]): Record<string, unknown> {
  const tree: Record<string, unknown> = {};
  for (const { key, value } of settings) {
    const tables = key.split('.');
    const field = tables.pop()!;
    let table = tree;
    for (const name of tables) {
      table[name] ??= {};
      table = table[name] as Record<string, unknown>;
    }
    table[field] = value;
  }
  return tree;
}
