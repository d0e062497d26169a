/** A reply of RESP2 as redis-cli prints it: for a terminal, or raw for a program that reads it. */

type Style = 'terminal' | 'raw';

interface Printed {
  readonly text: string;
  /** Behind the reply. */
  readonly end: number;
}

/** @param reply A whole reply, as latin1. */
export function printReply(reply: string, style: Style): string {
  return print(reply, 0, style, '').text;
}

function print(reply: string, at: number, style: Style, indentation: string): Printed {
  const lineEnd = reply.indexOf('\r\n', at);
  const line = reply.slice(at + 1, lineEnd);
  const end = lineEnd + 2;
  const isRaw = style === 'raw';
  switch (reply[at]) {
    case '+':
      return { text: line, end };
    case '-':
      return { text: isRaw ? `${line}\n` : `(error) ${line}`, end };
    case ':':
      return { text: isRaw ? line : `(integer) ${line}`, end };
    case '$': {
      if (line === '-1') return { text: isRaw ? '' : '(nil)', end };
      const text = reply.slice(end, end + Number(line));
      return { text: isRaw ? text : JSON.stringify(text), end: end + Number(line) + 2 };
    }
    case '*':
      return printItems(reply, { count: Number(line), first: end, style, indentation });
    default:
      throw new Error(`not a reply: ${JSON.stringify(reply.slice(at, lineEnd))}`);
  }
}

interface Items {
  readonly count: number;
  readonly first: number;
  readonly style: Style;
  readonly indentation: string;
}

function printItems(reply: string, { count, first, style, indentation }: Items): Printed {
  const lines: string[] = [];
  let end = first;
  for (let number = 1; number <= count; number++) {
    const prefix = style === 'raw' ? '' : `${String(number).padStart(String(count).length)}) `;
    const item = print(reply, end, style, indentation + ' '.repeat(prefix.length));
    lines.push(prefix + item.text);
    end = item.end;
  }
  if (count < 0) return { text: style === 'raw' ? '' : '(nil)', end };
  if (count === 0) return { text: style === 'raw' ? '' : '(empty array)', end };
  return { text: lines.join(`\n${style === 'raw' ? '' : indentation}`), end };
}
