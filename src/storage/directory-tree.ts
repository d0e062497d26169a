/**
 * A tree of directories in memory: names are looked up here, and fail as the operating system fails them.
 * Shared by the file systems that have no operating system below them.
 *
 * A path is names joined by `/`; empty names and `.` are skipped, so `/a`, `a/` and `./a` are one. There is
 * no `..`: nothing here has a parent outside the tree.
 */

import { assert } from '../base/assert.ts';
import { simulatedSystemError } from './system-error.ts';

export interface DirectoryNode<FileNode> {
  readonly kind: 'directory';
  readonly entries: Map<string, TreeNode<FileNode>>;
}

export type TreeNode<FileNode> = DirectoryNode<FileNode> | FileNode;

/** A file of a tree; what else it carries is its owner's. */
export interface TreeFile {
  readonly kind: 'file';
}

export function namesOf(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  assert(!names.includes('..'), `${path} has no ..`);
  return names;
}

/** What is at `path`; a missing name, or a file on the way, fails `operation` with ENOENT or ENOTDIR. */
export function lookUp<FileNode extends TreeFile>(
  root: DirectoryNode<FileNode>,
  operation: string,
  path: string,
): TreeNode<FileNode> {
  let node: TreeNode<FileNode> = root;
  for (const name of namesOf(path)) {
    if (node.kind === 'file') throw simulatedSystemError({ operation, path }, 'ENOTDIR');
    const next: TreeNode<FileNode> | undefined = node.entries.get(name);
    if (next === undefined) throw simulatedSystemError({ operation, path }, 'ENOENT');
    node = next;
  }
  return node;
}

/** As `lookUp`, for a directory. */
export function lookUpDirectory<FileNode extends TreeFile>(
  root: DirectoryNode<FileNode>,
  operation: string,
  path: string,
): DirectoryNode<FileNode> {
  const node = lookUp(root, operation, path);
  if (node.kind === 'file') throw simulatedSystemError({ operation, path }, 'ENOTDIR');
  return node;
}

export interface Place<FileNode> {
  readonly directory: DirectoryNode<FileNode>;
  readonly name: string;
  /** What has that name now. */
  readonly node: TreeNode<FileNode> | undefined;
}

/** The directory and the name that `path` stands for; the name itself may be free. */
export function placeOf<FileNode extends TreeFile>(
  root: DirectoryNode<FileNode>,
  operation: string,
  path: string,
): Place<FileNode> {
  const names = namesOf(path);
  const name = names.pop();
  assert(name !== undefined, `${path} names something below the root`);
  const directory = lookUpDirectory(root, operation, names.join('/'));
  return { directory, name, node: directory.entries.get(name) };
}

/** As `placeOf`, for a file that must be there: it fails with ENOENT, or EISDIR for a directory. */
export function placeOfFile<FileNode extends TreeFile>(
  root: DirectoryNode<FileNode>,
  operation: string,
  path: string,
): Place<FileNode> & { readonly node: FileNode } {
  const place = placeOf(root, operation, path);
  if (place.node === undefined) throw simulatedSystemError({ operation, path }, 'ENOENT');
  if (place.node.kind === 'directory') throw simulatedSystemError({ operation, path }, 'EISDIR');
  return { ...place, node: place.node };
}
