/**
 * The configuration in environment variables: `TIDEMARK_REDIS_PORT` for `redis.port`.
 *
 * A variable that looks like a key of one of our tables and is none is a fault. Others that begin like ours
 * are left alone: a cluster that has a service named tidemark sets TIDEMARK_PORT and more for everybody.
 */

import { CONFIG_KEYS, CONFIG_TABLES, VARIABLE_PREFIX } from './keys.ts';
import { editDistance, nearest } from './nearest.ts';
import type { Fault, Setting, Source } from './setting.ts';

const KEY_OF = new Map([...CONFIG_KEYS.values()].map(({ variable, name }) => [variable, name]));

const TABLE_PREFIXES = [...CONFIG_TABLES].map((name) => `${VARIABLE_PREFIX}${name.toUpperCase()}_`);

export function readEnvironment(environment: Readonly<Record<string, string | undefined>>): Source {
  const settings: Setting[] = [];
  const faults: Fault[] = [];
  for (const [variable, value] of Object.entries(environment)) {
    if (!variable.startsWith(VARIABLE_PREFIX) || value === undefined) continue;
    const origin = { kind: 'environment', variable } as const;
    const key = KEY_OF.get(variable);
    if (key !== undefined) settings.push({ key, value, origin });
    else if (isMeant(variable)) faults.push({ key: null, origin, message: unknownVariable(variable) });
  }
  return { settings, faults };
}

function isMeant(variable: string): boolean {
  if (TABLE_PREFIXES.some((prefix) => variable.startsWith(prefix))) return true;
  return [...KEY_OF.keys()].some((known) => editDistance(variable, known) === 1);
}

function unknownVariable(variable: string): string {
  const near = nearest(variable, KEY_OF.keys());
  if (near !== null) return `unknown variable; did you mean ${near}?`;
  const prefix = TABLE_PREFIXES.find((known) => variable.startsWith(known)) ?? VARIABLE_PREFIX;
  const known = [...KEY_OF.keys()].filter((name) => name.startsWith(prefix));
  return `unknown variable; known are ${known.join(', ')}`;
}
