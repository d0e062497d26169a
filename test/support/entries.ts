/** Where the package can be entered: its exports, and its commands. */

import { textOf } from './project.ts';

export interface PublicEntry {
  /** As users write it: `tidemark`, `tidemark/testing`. */
  readonly name: string;
  /** Path of the source behind it, from the root. */
  readonly source: string;
}

/** Every subpath of `exports` in package.json that leads to code. */
export function publicEntries(): PublicEntry[] {
  const { name, exports } = manifest();
  return Object.entries(exports).flatMap(([subpath, target]) =>
    typeof target === 'string'
      ? []
      : [
          {
            name: name + subpath.slice(1),
            source: target['default']!.replace(/^\.\/dist\//, '').replace(/\.js$/, '.ts'),
          },
        ],
  );
}

/** Files that something outside src/ starts: the launcher, or a worker thread. */
export function isInternalEntry(path: string): boolean {
  return path === 'src/cli/main.ts' || path.endsWith('-worker.ts');
}

export interface Manifest {
  readonly name: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly files: readonly string[];
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

export function manifest(): Manifest {
  return JSON.parse(textOf('package.json')) as Manifest;
}
