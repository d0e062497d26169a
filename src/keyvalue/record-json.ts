/**
 * Records of the state as JSON, and back: what a delta has lines of (docs/format.md §9).
 *
 * Texts are strings where their bytes are UTF-8, and `{"base64": …}` otherwise. What is not read as a record
 * of a known kind, and written as the same bytes again, goes as its bytes: so nothing is ever lost on the
 * way.
 */

import { bufferOf, readU64, viewOf, writeU64 } from '../base/bytes.ts';
import { equalBytes } from '../base/merkle/node.ts';
import {
  contentStart,
  deadlineOf,
  HEAD_BYTES_MAX,
  NO_DEADLINE,
  PREFIX_FIELD,
  PREFIX_FIELD_SLOT,
  PREFIX_KEY,
  readWord,
  stateKeyOf,
  TYPE_LARGE_HASH,
  TYPE_PACKED_HASH,
  TYPE_STRING,
  typeOf,
  userKeyOf,
  writeHead,
  writeWord,
} from './layout.ts';
import { packedEntries } from './packed-hash.ts';
import { isRecord } from './record-check.ts';

export type JsonText = string | { readonly base64: string };

/** What a record is of; `record` is the key of the state as it is. */
export type JsonKey =
  | { readonly key: JsonText }
  | { readonly hash: number; readonly field: JsonText }
  | { readonly hash: number; readonly slot: number }
  | { readonly record: { readonly base64: string } };

export type JsonValue =
  | { readonly string: JsonText; readonly expiresAt?: number }
  | { readonly hash: readonly (readonly [JsonText, JsonText])[]; readonly expiresAt?: number }
  | {
      readonly largeHash: number;
      readonly fields: number;
      readonly version: number;
      readonly expiresAt?: number;
    }
  | { readonly slot: number; readonly value: JsonText }
  | { readonly field: JsonText }
  | { readonly base64: string };

const TWO_32 = 2 ** 32;
const NUMBER_BYTES = 8;
const FIELD_AT = 1 + NUMBER_BYTES;
const SLOT_BYTES = 4;
const LARGE_HEAD_BYTES = 3 * NUMBER_BYTES;

export function keyToJson(key: Uint8Array): JsonKey {
  const read = readKey(key);
  return equalBytes(keyFromJson(read), key) ? read : { record: base64Of(key) };
}

/** @throws TypeError when it is none. */
export function keyFromJson(json: JsonKey): Uint8Array {
  if ('key' in json) return stateKeyOf(bytesOfText(json.key));
  if ('record' in json) return bytesOfText(json.record);
  const isField = 'field' in json;
  const rest = isField ? bytesOfText(json.field) : new Uint8Array(SLOT_BYTES);
  const key = new Uint8Array(FIELD_AT + rest.length);
  const view = viewOf(key);
  key[0] = isField ? PREFIX_FIELD : PREFIX_FIELD_SLOT;
  view.setUint32(1, Math.floor(numberIn(json.hash) / TWO_32));
  view.setUint32(1 + SLOT_BYTES, json.hash % TWO_32);
  key.set(rest, FIELD_AT);
  if (!isField) view.setUint32(FIELD_AT, numberIn(json.slot));
  return key;
}

/** @param key Of the state: it says what the value is. */
export function valueToJson(key: Uint8Array, value: Uint8Array): JsonValue {
  if (!isRecord(key, value)) return base64Of(value);
  const read = readValue(key, value);
  return equalBytes(valueFromJson(read), value) ? read : base64Of(value);
}

/** @throws TypeError when it is none. */
export function valueFromJson(json: JsonValue): Uint8Array {
  if ('string' in json) return userRecord(TYPE_STRING, json.expiresAt, bytesOfText(json.string));
  if ('hash' in json) return userRecord(TYPE_PACKED_HASH, json.expiresAt, packedContent(json.hash));
  if ('largeHash' in json) return userRecord(TYPE_LARGE_HASH, json.expiresAt, largeHead(json));
  if ('slot' in json) {
    const value = bytesOfText(json.value);
    const record = new Uint8Array(SLOT_BYTES + value.length);
    writeWord(record, 0, numberIn(json.slot));
    record.set(value, SLOT_BYTES);
    return record;
  }
  return bytesOfText('field' in json ? json.field : json);
}

/** Bytes as a string where they are UTF-8. */
export function textToJson(bytes: Uint8Array): JsonText {
  const text = bufferOf(bytes).toString('utf8');
  return Buffer.from(text).equals(bytes) ? text : base64Of(bytes);
}

function readKey(key: Uint8Array): JsonKey {
  if (key[0] === PREFIX_KEY) return { key: textToJson(userKeyOf(key)) };
  const isOfHash = key[0] === PREFIX_FIELD || key[0] === PREFIX_FIELD_SLOT;
  if (!isOfHash || key.length < FIELD_AT) return { record: base64Of(key) };
  const view = viewOf(key);
  const hash = view.getUint32(1) * TWO_32 + view.getUint32(1 + SLOT_BYTES);
  if (!Number.isSafeInteger(hash)) return { record: base64Of(key) };
  if (key[0] === PREFIX_FIELD) return { hash, field: textToJson(key.subarray(FIELD_AT)) };
  if (key.length !== FIELD_AT + SLOT_BYTES) return { record: base64Of(key) };
  return { hash, slot: view.getUint32(FIELD_AT) };
}

function readValue(key: Uint8Array, value: Uint8Array): JsonValue {
  if (key[0] === PREFIX_FIELD)
    return { slot: readWord(value, 0), value: textToJson(value.subarray(SLOT_BYTES)) };
  if (key[0] === PREFIX_FIELD_SLOT) return { field: textToJson(value) };
  if (key[0] !== PREFIX_KEY) return base64Of(value);
  const deadline = deadlineOf(value);
  const expiry = deadline === NO_DEADLINE ? {} : { expiresAt: deadline };
  const content = value.subarray(contentStart(value));
  if (typeOf(value) === TYPE_STRING) return { string: textToJson(content), ...expiry };
  if (typeOf(value) === TYPE_PACKED_HASH) {
    const hash = packedEntries(value).map(({ fieldStart, fieldEnd, valueStart, end }) => {
      const [field, text] = [value.subarray(fieldStart, fieldEnd), value.subarray(valueStart, end)];
      return [textToJson(field), textToJson(text)] as const;
    });
    return { hash, ...expiry };
  }
  const view = viewOf(content);
  const [largeHash = 0, fields = 0, version = 0] = [0, 1, 2].map(
    (at) => readU64(view, at * NUMBER_BYTES) ?? 0,
  );
  return { largeHash, fields, version, ...expiry };
}

function userRecord(
  type: typeof TYPE_STRING | typeof TYPE_PACKED_HASH | typeof TYPE_LARGE_HASH,
  expiresAt: number | undefined,
  content: Uint8Array,
): Uint8Array {
  const record = new Uint8Array(HEAD_BYTES_MAX + content.length);
  const deadline = expiresAt === undefined ? NO_DEADLINE : numberIn(expiresAt);
  const start = writeHead(record, type, deadline);
  record.set(content, start);
  return record.subarray(0, start + content.length);
}

function packedContent(fields: readonly (readonly [JsonText, JsonText])[]): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(fields.length)];
  for (const text of fields.flat()) {
    const bytes = bytesOfText(text);
    parts.push(Uint8Array.of(bytes.length & 0xff, bytes.length >>> 8), bytes);
  }
  return Buffer.concat(parts);
}

function largeHead(json: Extract<JsonValue, { readonly largeHash: number }>): Uint8Array {
  const content = new Uint8Array(LARGE_HEAD_BYTES);
  const view = viewOf(content);
  for (const [at, number] of [json.largeHash, json.fields, json.version].entries())
    writeU64(view, at * NUMBER_BYTES, numberIn(number));
  return content;
}

/** JSON from outside may hold anything. */
function numberIn(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new TypeError('a number from 0 to 2^53-1 was expected');
}

function bytesOfText(text: unknown): Uint8Array {
  if (typeof text === 'string') return Buffer.from(text);
  const base64 = (text as { readonly base64?: unknown } | null | undefined)?.base64;
  if (typeof base64 !== 'string') throw new TypeError('a text or {"base64": …} was expected');
  return Buffer.from(base64, 'base64');
}

function base64Of(bytes: Uint8Array): { readonly base64: string } {
  return { base64: bufferOf(bytes).toString('base64') };
}
