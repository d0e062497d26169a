/**
 * Tags: names that keep a checkpoint alive until they are taken off (docs/format.md §7.6).
 *
 * Each is a file of its own, `checkpoints/NAME.tag` (sealed-line.ts). A tag whose file cannot be read may
 * keep any checkpoint alive: as long as there is one, none is removed.
 */

import { isTidemarkError } from '../base/errors.ts';
import { invalidOption } from '../base/options.ts';
import type { Index, Timeline } from '../base/positions.ts';
import { isHex, isIntegerFrom } from '../log/json-fields.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { type FieldRules, readSealedLine, SEALED_PART_SUFFIX, writeSealedLine } from './sealed-line.ts';

/** What a tag says. */
export interface Tag {
  /** 1 to 64 of `a-z`, `0-9`, `-`, `_` and `.`, the first of them a letter or a digit. */
  readonly name: string;
  /** 32 lower-case hexadecimal digits. */
  readonly clusterId: string;
  /** Of the checkpoint that it keeps. */
  readonly timeline: Timeline;
  readonly index: Index;
  /** 64 lower-case hexadecimal digits. */
  readonly root: string;
  /** Milliseconds since 1970. */
  readonly taggedAt: number;
}

export interface ReadTags {
  readonly tags: readonly Tag[];
  /** Files that cannot be read, and why. */
  readonly damages: readonly { readonly file: string; readonly reason: string }[];
}

/** More are refused: each is a file, and is read at every start. */
export const TAGS_MAX = 1024;

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const SUFFIX = '.tag';

/** @throws TidemarkError TIDEMARK_OPTION_INVALID. */
export function requireTagName(name: unknown): asserts name is string {
  if (typeof name === 'string' && NAME.test(name)) return;
  throw invalidOption('tag', name, '1 to 64 of a-z, 0-9, - _ and ., the first of them a letter or a digit');
}

/** Every tag of a directory of checkpoints, by name. */
export async function readTags(fs: FileSystem, dir: string, clusterId: string): Promise<ReadTags> {
  if ((await fs.stat(dir))?.kind !== 'directory') return { tags: [], damages: [] };
  const tags: Tag[] = [];
  const damages: { file: string; reason: string }[] = [];
  for (const file of (await fs.list(dir)).filter((name) => name.endsWith(SUFFIX)).sort()) {
    const path = `${dir}/${file}`;
    const tag = await readTag(fs, path, clusterId);
    if (typeof tag === 'string') damages.push({ file: path, reason: tag });
    else tags.push(tag);
  }
  return { tags, damages };
}

/** One tag, or why its file cannot be used. */
async function readTag(fs: FileSystem, path: string, clusterId: string): Promise<Tag | string> {
  try {
    const isFile = (await fs.stat(path))?.kind === 'file';
    const tag = isFile ? await readSealedLine(fs, path, FIELD_RULES) : null;
    if (tag === null) return 'it is not what was written';
    if (!path.endsWith(`/${tag.name}${SUFFIX}`)) return `it is the tag ${tag.name}`;
    return tag.clusterId === clusterId ? tag : 'it is of another cluster';
  } catch (error) {
    if (isTidemarkError(error, 'TIDEMARK_IO')) return error.message;
    throw error;
  }
}

export function tagPath(dir: string, name: string): string {
  return `${dir}/${name}${SUFFIX}`;
}

/** Durable when it resolves; a tag of that name moves. */
export function writeTag(fs: FileSystem, dir: string, tag: Tag): Promise<void> {
  return writeSealedLine(fs, { dir, name: `${tag.name}${SUFFIX}` }, tag, FIELD_RULES);
}

/** Durably gone when it resolves. */
export async function removeTag(fs: FileSystem, dir: string, name: string): Promise<void> {
  const path = tagPath(dir, name);
  if ((await fs.stat(path)) !== null) await fs.remove(path); // Somebody may have removed it by hand.
  await fs.syncDirectory(dir);
}

/** What a crash left of a tag that was being written. */
export async function removeTagParts(fs: FileSystem, dir: string): Promise<string[]> {
  const parts = (await fs.list(dir)).filter((name) => name.endsWith(SUFFIX + SEALED_PART_SUFFIX));
  for (const name of parts) await fs.remove(`${dir}/${name}`);
  return parts.map((name) => `${dir}/${name}`);
}

const FIELD_RULES: FieldRules<Tag> = {
  name: (value) => typeof value === 'string' && NAME.test(value),
  clusterId: isHex(32),
  timeline: isIntegerFrom(1, 2 ** 32 - 1),
  index: isIntegerFrom(0),
  root: isHex(64),
  taggedAt: isIntegerFrom(0),
};
