/** Reads deltas (delta.ts), and believes nothing of them before they were read to their end once. */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { TidemarkError } from '../base/errors.ts';
import type { FoundChange } from '../keyvalue/patch-plan.ts';
import { isRecord } from '../keyvalue/record-check.ts';
import { keyFromJson, valueFromJson } from '../keyvalue/record-json.ts';
import { DELTA_VERSION, type DeltaCounts, type DeltaEnd, type DeltaHeader, type DeltaLine } from './delta.ts';

/** Two of the largest values in base64. */
const LINE_BYTES_MAX = 64 * 1024 * 1024;

const ROOT = /^[0-9a-f]{64}$/;

/** Both values of a record; null for none. */
export interface DeltaChange extends FoundChange {
  readonly before: { readonly kind: 'inline'; readonly bytes: Uint8Array } | null;
}

export interface DeltaFile {
  readonly path: string;
  readonly header: DeltaHeader;
  readonly counts: DeltaCounts;
  /** Reads it again. */
  changes(): AsyncGenerator<DeltaChange, void>;
}

/** @throws TidemarkError TIDEMARK_DELTA_INVALID, TIDEMARK_FORMAT_NEWER, TIDEMARK_FILE_MISSING. */
export async function openDelta(path: string): Promise<DeltaFile> {
  const reading = new DeltaReading(path);
  for await (const _ of reading.changes()) continue;
  const { header, end } = reading;
  if (header === null || end === null) throw invalidDelta(path, 'it is empty');
  return { path, header, counts: end.end, changes: () => new DeltaReading(path).changes() };
}

class DeltaReading {
  readonly #path: string;
  readonly #hash = createHash('sha256');
  readonly #counts = { added: 0, changed: 0, deleted: 0 };
  header: DeltaHeader | null = null;
  end: DeltaEnd | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  async *changes(): AsyncGenerator<DeltaChange, void> {
    let number = 0;
    for await (const line of linesOf(this.#path)) {
      number++;
      if (this.end !== null) throw this.#wrong(number, 'something stands behind its end');
      const json = this.#parse(line, number);
      if (this.header === null) this.header = this.#readHeader(json);
      else if ('end' in json) this.end = this.#readEnd(json as unknown as DeltaEnd, number);
      else yield this.#readChange(json as unknown as DeltaLine, number);
      this.#hash.update(line).update('\n');
    }
    if (this.end === null) throw invalidDelta(this.#path, 'it was cut: its last line is missing');
  }

  #parse(line: Buffer, number: number): object {
    try {
      const json: unknown = JSON.parse(line.toString('utf8'));
      if (typeof json === 'object' && json !== null) return json;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    throw this.#wrong(number, 'it is no JSON object');
  }

  #readHeader(json: object): DeltaHeader {
    const header = json as DeltaHeader;
    const { tidemarkDelta: version } = header;
    if (!Number.isInteger(version)) throw invalidDelta(this.#path, 'it is no delta of Tidemark');
    if (version > DELTA_VERSION) {
      throw new TidemarkError(
        'TIDEMARK_FORMAT_NEWER',
        `${this.#path} is a delta of version ${version}, which this version of Tidemark does not know`,
        { remedy: 'fix-call', facts: { file: this.#path, version } },
      );
    }
    const isWhole = [header.source, header.target].every((state) => ROOT.test(String(state?.root)));
    if (!isWhole || typeof header.machine?.name !== 'string') throw this.#wrong(1, 'a field is missing');
    if (header.complete) return header;
    throw invalidDelta(
      this.#path,
      'it was made with --prefix, --limit or without values, and cannot be applied',
    );
  }

  #readEnd(json: DeltaEnd, number: number): DeltaEnd {
    const { end } = json;
    if (end?.sha256 !== this.#hash.copy().digest('hex'))
      throw this.#wrong(number, 'the checksum does not hold');
    const isRight = (['added', 'changed', 'deleted'] as const).every(
      (kind) => end[kind] === this.#counts[kind],
    );
    if (!isRight) throw this.#wrong(number, 'the counts do not hold');
    return json;
  }

  #readChange({ change, of, before, after }: DeltaLine, number: number): DeltaChange {
    try {
      const key = keyFromJson(of);
      const valueOf = (json: DeltaLine['after']): Uint8Array | null =>
        json == null ? null : valueFromJson(json);
      const values = { before: valueOf(before), after: valueOf(after) };
      const isKind = change === kindOf(values) && this.#isRecordOrNone(key, values.before);
      if (!isKind || !this.#isRecordOrNone(key, values.after))
        throw new TypeError('it is no change of a record');
      this.#counts[change]++;
      return { key, after: values.after, before: values.before && { kind: 'inline', bytes: values.before } };
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw this.#wrong(number, error.message);
    }
  }

  #isRecordOrNone(key: Uint8Array, value: Uint8Array | null): boolean {
    return value === null || isRecord(key, value);
  }

  #wrong(line: number, reason: string): TidemarkError {
    return invalidDelta(this.#path, `line ${line}: ${reason}`);
  }
}

function kindOf(values: { before: Uint8Array | null; after: Uint8Array | null }): DeltaLine['change'] | null {
  if (values.before === null) return values.after === null ? null : 'added';
  return values.after === null ? 'deleted' : 'changed';
}

/** Split at line feeds alone: JSON may hold other characters that end lines elsewhere. */
async function* linesOf(path: string): AsyncGenerator<Buffer, void> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  for await (const chunk of chunksOf(path)) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      yield Buffer.concat([...rest, chunk.subarray(from, end)]);
      rest = [];
      restBytes = 0;
      from = end + 1;
    }
    rest.push(chunk.subarray(from));
    restBytes += chunk.length - from;
    if (restBytes > LINE_BYTES_MAX) throw invalidDelta(path, 'a line is too long');
  }
  if (restBytes > 0) throw invalidDelta(path, 'it was cut: its last line has no end');
}

async function* chunksOf(path: string): AsyncGenerator<Buffer, void> {
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) yield chunk as Buffer;
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (code === undefined || syscall === undefined) throw error;
    if (code !== 'ENOENT') throw invalidDelta(path, `it cannot be read (${code})`);
    throw new TidemarkError('TIDEMARK_FILE_MISSING', `there is no file ${path}`, {
      remedy: 'fix-call',
      facts: { file: path },
      cause: error,
    });
  }
}

function invalidDelta(file: string, reason: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_DELTA_INVALID',
    `${file} cannot be used as a delta: ${reason}. Nothing was changed; make it again by ` +
      'tidemark diff --json',
    { remedy: 'fix-call', facts: { file, reason } },
  );
}
