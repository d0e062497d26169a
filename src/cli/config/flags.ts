/** The configuration in flags: those that have a name of their own, and `--set key=value` for every key. */

import { unknownKey } from './config-tree.ts';
import { CONFIG_KEYS } from './keys.ts';
import type { Fault, Setting, Source } from './setting.ts';

/** Flags as the command line knows them. All of them are texts: the schema says what they shall be. */
export interface ConfigFlags {
  readonly config?: string;
  readonly dir?: string;
  readonly host?: string;
  readonly port?: string;
  readonly http?: string;
  readonly segmentBytes?: string;
  readonly durability?: string;
  readonly passwordFile?: string;
  readonly set?: readonly string[];
}

const NAMED: readonly (readonly [keyof ConfigFlags, flag: string, key: string])[] = [
  ['dir', '--dir', 'dir'],
  ['host', '--host', 'redis.host'],
  ['port', '--port', 'redis.port'],
  ['http', '--http', 'http.port'],
  ['segmentBytes', '--segment-bytes', 'log.segmentBytes'],
  ['durability', '--durability', 'durability.kind'],
  ['passwordFile', '--password-file', 'redis.passwordFile'],
];

export function readFlags(flags: ConfigFlags): Source {
  const settings: Setting[] = [];
  const faults: Fault[] = [];
  for (const [option, flag, key] of NAMED) {
    if (flags[option] !== undefined) {
      settings.push({ key, value: flags[option], origin: { kind: 'flag', flag } });
    }
  }
  for (const words of flags.set ?? []) {
    const at = words.indexOf('=');
    const key = at < 0 ? words : words.slice(0, at);
    // The value may be a secret: only the key is named.
    const origin = { kind: 'flag', flag: `--set ${key}` } as const;
    if (!CONFIG_KEYS.has(key)) faults.push({ key, origin, message: unknownKey(key) });
    else if (at < 0) faults.push({ key, origin, message: `wanted --set ${key}=value` });
    else settings.push({ key, value: words.slice(at + 1), origin });
  }
  return { settings, faults: [...faults, ...givenTwice(settings)] };
}

function givenTwice(settings: readonly Setting[]): Fault[] {
  return settings.flatMap(({ key, origin }, at) =>
    settings.findIndex((other) => other.key === key) < at
      ? [{ key, origin, message: 'given twice, wanted once' }]
      : [],
  );
}
