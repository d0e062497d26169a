/**
 * A history in parts that share no object: each is judged for itself (P-compositionality). A call that names
 * several objects joins them into one part.
 */

import type { Json, Operation } from '../history/operation.ts';

/** Operations on some objects, and all of those. */
export interface Part {
  readonly objects: readonly string[];
  readonly operations: readonly Operation[];
}

/** The parts, in the order in which their first operations come; operations keep their order within each. */
export function partsOf(
  operations: readonly Operation[],
  objectsOf: (call: Json) => readonly string[],
): readonly Part[] {
  const parents = new Map<string, string>();
  const rootOf = (object: string): string => {
    let root = object;
    for (let parent = parents.get(root)!; parent !== root; parent = parents.get(root)!) root = parent;
    for (let at = object; at !== root; ) {
      const next = parents.get(at)!;
      parents.set(at, root);
      at = next;
    }
    return root;
  };
  const firsts = operations.map(({ call }) => {
    const objects = objectsOf(call);
    const first = objects[0] ?? '';
    for (const object of objects.length === 0 ? [first] : objects) {
      if (!parents.has(object)) parents.set(object, object);
      parents.set(rootOf(object), rootOf(first));
    }
    return first;
  });

  const parts = new Map<string, { objects: string[]; operations: Operation[] }>();
  firsts.forEach((first, at) => {
    const root = rootOf(first);
    if (!parts.has(root)) parts.set(root, { objects: [], operations: [] });
    parts.get(root)!.operations.push(operations[at]!);
  });
  for (const object of parents.keys()) parts.get(rootOf(object))!.objects.push(object);
  return [...parts.values()];
}
