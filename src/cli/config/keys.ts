/** The keys of the schema, flat: `redis.port` and so on. */

import * as v from 'valibot';
import { assert } from '../../base/assert.ts';
import { CONFIG_SCHEMA } from './schema.ts';
import type { KeyFacts } from './value-schema.ts';

export interface ConfigKey extends KeyFacts {
  /** As in a file: `redis.port`. */
  readonly name: string;
  /** As in the environment: `TIDEMARK_REDIS_PORT`. */
  readonly variable: string;
  /** Undefined when there is none. */
  readonly default: unknown;
  readonly schema: v.GenericSchema;
}

export const VARIABLE_PREFIX = 'TIDEMARK_';

/** By name, in the order of the schema. */
export const CONFIG_KEYS: ReadonlyMap<string, ConfigKey> = new Map(
  keysOf(CONFIG_SCHEMA, '').map((key) => [key.name, key]),
);

/** Names of tables: `redis` and so on. */
export const CONFIG_TABLES: ReadonlySet<string> = new Set(
  [...CONFIG_KEYS.keys()].flatMap((name) =>
    name.includes('.') ? [name.slice(0, name.lastIndexOf('.'))] : [],
  ),
);

/** `redis.connectionsMax` → `TIDEMARK_REDIS_CONNECTIONS_MAX`. */
function variableOf(name: string): string {
  return VARIABLE_PREFIX + name.replace(/[A-Z]/g, '_$&').replaceAll('.', '_').toUpperCase();
}

type Table = v.StrictObjectSchema<v.ObjectEntries, undefined>;
type Optional = v.OptionalSchema<v.GenericSchema, unknown>;

function keysOf(table: Table, prefix: string): ConfigKey[] {
  return Object.entries(table.entries).flatMap(([field, entry]) => {
    const optional = entry as Optional;
    const name = prefix + field;
    if (isTable(optional.wrapped)) return keysOf(optional.wrapped, `${name}.`);
    return [
      {
        ...factsOf(optional.wrapped, name),
        name,
        variable: variableOf(name),
        default: optional.default,
        schema: optional.wrapped,
      },
    ];
  });
}

function isTable(schema: v.GenericSchema): schema is Table {
  return schema.type === 'strict_object';
}

function factsOf(schema: v.GenericSchema, name: string): KeyFacts {
  const { facts } = v.getMetadata(schema as never) as { readonly facts?: KeyFacts };
  assert(facts !== undefined, `the key ${name} says what it wants`);
  return facts;
}
