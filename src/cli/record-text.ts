/** Records of the state in a line, for people: the key as they know it, the value shortened. */

import { bufferOf } from '../base/bytes.ts';
import type { DecidedDifference } from '../base/merkle/difference.ts';
import type { StoredValue } from '../base/merkle/node.ts';
import { keyValueMachine } from '../keyvalue/machine.ts';
import {
  type JsonText,
  type JsonValue,
  keyToJson,
  textToJson,
  valueToJson,
} from '../keyvalue/record-json.ts';
import { formatBytes, formatTime } from './output.ts';

const SHORT_CHARS = 60;
const FIELDS_SHOWN = 4;

const SIGNS = { added: '+', changed: '~', deleted: '-' } as const;

export type ShownValues = 'none' | 'short' | 'full';

/** One line of `tidemark diff`. */
export class RecordText {
  readonly #isKeyValue: boolean;
  readonly #values: ShownValues;
  /** Keys of large hashes, by their numbers: heads come before fields. */
  readonly #hashKeys = new Map<number, JsonText>();

  constructor(machine: string, values: ShownValues) {
    this.#isKeyValue = machine === keyValueMachine.name;
    this.#values = values;
  }

  describe(found: DecidedDifference): string {
    const { kind, key } = found;
    const values = [
      ...('source' in found ? [this.#value(key, found.source)] : []),
      ...('target' in found ? [this.#value(key, found.target)] : []),
    ];
    const shown = this.#values === 'none' ? '' : `  ${values.join(' → ')}`;
    return `${SIGNS[kind]} ${this.#key(key)}${shown}`;
  }

  #key(key: Uint8Array): string {
    if (!this.#isKeyValue) return this.#text(textToJson(key));
    const json = keyToJson(key);
    if ('key' in json) return this.#text(json.key);
    if ('record' in json) return `(record ${bufferOf(key).toString('hex')})`;
    const name = this.#hashKeys.get(json.hash);
    const hash = name === undefined ? `(hash ${json.hash})` : this.#text(name);
    return 'field' in json ? `${hash} field ${this.#text(json.field)}` : `${hash} slot ${json.slot}`;
  }

  #value(key: Uint8Array, value: StoredValue): string {
    if (value.kind === 'node') return formatBytes(value.length);
    if (!this.#isKeyValue) return this.#text(textToJson(value.bytes));
    const json = valueToJson(key, value.bytes);
    const isHead = 'largeHash' in json;
    const of = isHead ? keyToJson(key) : null;
    if (isHead && of !== null && 'key' in of) this.#hashKeys.set(json.largeHash, of.key);
    const expiry = 'expiresAt' in json && json.expiresAt !== undefined ? json.expiresAt : null;
    return `${this.#content(json)}${expiry === null ? '' : `, expires ${formatTime(expiry)}`}`;
  }

  #content(json: JsonValue): string {
    if ('string' in json) return this.#text(json.string);
    if ('largeHash' in json) return `hash of ${json.fields} fields`;
    if ('slot' in json) return this.#text(json.value);
    if ('field' in json) return this.#text(json.field);
    if ('base64' in json) return this.#text(json);
    const shown = this.#values === 'full' ? json.hash : json.hash.slice(0, FIELDS_SHOWN);
    const fields = shown.map(([field, value]) => `${this.#text(field)}: ${this.#text(value)}`);
    if (shown.length < json.hash.length) fields.push(`… ${json.hash.length} fields`);
    return `{${fields.join(', ')}}`;
  }

  /** Quoted, so that nothing in it is taken for more than it is. */
  #text(text: JsonText): string {
    const quoted = typeof text === 'string' ? JSON.stringify(text) : `base64 ${text.base64}`;
    const isShort = this.#values === 'full' || quoted.length <= SHORT_CHARS;
    return isShort ? quoted : `${quoted.slice(0, SHORT_CHARS)}…`;
  }
}
