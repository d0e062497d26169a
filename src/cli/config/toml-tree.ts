/** TOML as a tree with places. Its parser stops at the first fault, so that there is one of these at most. */

import { type AST, ParseError, parseTOML } from 'toml-eslint-parser';
import type { ParsedFile, TreeEntry, TreeFault, TreeValue } from './config-tree.ts';

export function parseTomlTree(text: string): ParsedFile {
  try {
    const program = parseTOML(text);
    const faults: TreeFault[] = [];
    return { entries: program.body[0].body.flatMap((node) => entryOf(node, faults)), faults };
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    return { entries: [], faults: [faultOf(error, text)] };
  }
}

function faultOf({ lineNumber: line, column, message }: ParseError, text: string): TreeFault {
  const place = { line, column: column + 1 };
  if (!message.includes('multiple times')) return { ...place, key: null, message };
  const key = /^[\w.-]+/.exec(text.split('\n')[line - 1]?.slice(column) ?? '')?.[0] ?? null;
  return { ...place, key, message: 'given twice, wanted once' };
}

/** One entry; none for what is a fault. */
function entryOf(node: AST.TOMLKeyValue | AST.TOMLTable, faults: TreeFault[]): TreeEntry[] {
  const names = node.key.keys.map((key) => ({
    name: key.type === 'TOMLBare' ? key.name : key.value,
    line: key.loc.start.line,
    column: key.loc.start.column + 1,
  }));
  const [first] = names;
  if (node.type === 'TOMLTable' && node.kind === 'array') {
    const key = names.map(({ name }) => name).join('.');
    const message = 'found a list of tables, wanted one table: `[name]`';
    faults.push({ line: first?.line ?? 1, column: first?.column ?? 1, key, message });
    return [];
  }
  const inner: TreeValue =
    node.type === 'TOMLTable'
      ? { kind: 'table', entries: node.body.flatMap((child) => entryOf(child, faults)) }
      : valueOf(node.value, faults);
  // `[a.b]` and `a.b = 1` are a table with a table, or with a value, in it.
  const nested = names.reduceRight<TreeValue>(
    (value, { name, line, column }) => ({ kind: 'table', entries: [{ key: name, line, column, value }] }),
    inner,
  );
  return nested.kind === 'table' ? [...nested.entries] : [];
}

function valueOf(node: AST.TOMLContentNode, faults: TreeFault[]): TreeValue {
  switch (node.type) {
    case 'TOMLInlineTable':
      return { kind: 'table', entries: node.body.flatMap((child) => entryOf(child, faults)) };
    case 'TOMLArray':
      return { kind: 'plain', value: [] };
    case 'TOMLValue':
      return { kind: 'plain', value: node.value };
  }
}
