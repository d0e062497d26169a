/**
 * A small file of its own: a line of canonical JSON, then the SHA-256 of that line with its end, in
 * hexadecimal, and a newline. It becomes visible by a rename, so that it is there whole or not at all.
 */

import { bufferOf } from '../base/bytes.ts';
import { sha256 } from '../base/digest.ts';
import { isObject, parseJson } from '../log/json-fields.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { readUpTo, writeVerified } from './verified-write.ts';

/** Longest such file, unless told otherwise. */
export const SEALED_LINE_BYTES_MAX = 1024;

/** A file that is being written has this behind its name. */
export const SEALED_PART_SUFFIX = '.part';

export type FieldRules<Content> = Readonly<Record<keyof Content & string, (value: unknown) => boolean>>;

/** Writes the fields of `rules` in their order; what stood there is replaced. Durable when it resolves. */
export async function writeSealedLine<Content extends object>(
  fs: FileSystem,
  { dir, name }: { readonly dir: string; readonly name: string },
  content: Content,
  rules: FieldRules<Content>,
): Promise<void> {
  const path = `${dir}/${name}`;
  const part = path + SEALED_PART_SUFFIX;
  const bytes = encode(content, rules);
  if ((await fs.stat(part)) !== null) await fs.remove(part);
  await writeVerified(fs, part, bytes);
  await fs.rename(part, path);
  await fs.syncDirectory(dir);
}

/** What the file says; null when it is not exactly what was written, or is not there. */
export async function readSealedLine<Content extends object>(
  fs: FileSystem,
  path: string,
  rules: FieldRules<Content>,
  bytesMax: number = SEALED_LINE_BYTES_MAX,
): Promise<Content | null> {
  if ((await fs.stat(path)) === null) return null;
  const bytes = await readUpTo(fs, path, bytesMax + 1);
  if (bytes.length > bytesMax) return null;
  const [line] = bufferOf(bytes).toString('utf8').split('\n', 1);
  const value = parseJson(line!);
  if (!isObject(value)) return null;
  for (const [field, isValid] of Object.entries<(value: unknown) => boolean>(rules)) {
    if (!isValid(value[field])) return null;
  }
  const content = value as Content;
  return encode(content, rules).equals(bytes) ? content : null;
}

function encode<Content extends object>(content: Content, rules: FieldRules<Content>): Buffer {
  const fields = Object.keys(rules).map((field) => [field, content[field as keyof Content]] as const);
  const line = Buffer.from(`${JSON.stringify(Object.fromEntries(fields))}\n`, 'utf8');
  return Buffer.concat([line, Buffer.from(`${bufferOf(sha256(line)).toString('hex')}\n`, 'latin1')]);
}
