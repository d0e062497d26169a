/**
 * The configuration file: read within a bound, its format told by its name. Parsers are loaded when needed.
 */

import { open } from 'node:fs/promises';
import { extname } from 'node:path';
import { type ParsedFile, settingsOf, TOO_DEEP } from './config-tree.ts';
import { isTooDeep } from './depth.ts';
import type { Source } from './setting.ts';
import { writeBytes } from './units.ts';

/** A configuration has some dozens of lines. */
export const FILE_BYTES_MAX = 1024 ** 2;

export async function readConfigFile(file: string): Promise<Source> {
  const parse = await parserOf(file);
  if (parse === null) {
    return refuse(file, 'unknown format; wanted a name that ends in .yaml, .yml or .toml');
  }
  const text = await readText(file, FILE_BYTES_MAX);
  if (typeof text !== 'string') return refuse(file, text.message);
  return isTooDeep(text) ? refuse(file, TOO_DEEP) : settingsOf(file, parse(text));
}

async function parserOf(file: string): Promise<((text: string) => ParsedFile) | null> {
  switch (extname(file).toLowerCase()) {
    case '.yaml':
    case '.yml':
      return (await import('./yaml-tree.ts')).parseYamlTree;
    case '.toml':
      return (await import('./toml-tree.ts')).parseTomlTree;
    default:
      return null;
  }
}

function refuse(file: string, message: string): Source {
  const origin = { kind: 'file', file, line: null, column: null } as const;
  return { settings: [], faults: [{ key: null, origin, message }] };
}

/** The text of a file of at most `bytesMax` bytes; or why there is none. */
export async function readText(
  path: string,
  bytesMax: number,
): Promise<string | { readonly message: string }> {
  const bytes = await readBytes(path, bytesMax);
  if (!(bytes instanceof Uint8Array)) return bytes;
  if (bytes.length > bytesMax) return { message: `longer than ${writeBytes(bytesMax)}` };
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { message: 'not UTF-8 text' };
  }
}

/** At most one byte more than `bytesMax`, whatever the file claims of its size. */
async function readBytes(path: string, bytesMax: number): Promise<Uint8Array | { readonly message: string }> {
  try {
    await using handle = await open(path, 'r');
    const buffer = Buffer.alloc(bytesMax + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return buffer.subarray(0, length);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return { message: UNREADABLE[code] ?? `cannot be read: ${code}` };
  }
}

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EACCES: 'cannot be read: no permission',
  EISDIR: 'a directory, wanted a file',
};
