/** The completion script for fish. */

import type { CompletedOption, Place } from './completions.ts';

export function fishScript(places: readonly Place[], keys: readonly string[]): string {
  const inner = places.filter(({ place }) => place !== '').map(({ place }) => place);
  const settings = keys.map((key) => `${key}=`).join(' ');
  const lines = places.flatMap(({ place, words, options, takesPath }) => {
    const start = `complete -c tidemark -n '__tidemark_at "${place}"'`;
    return [
      ...(takesPath ? [`${start} -F`] : []),
      ...words.map(({ word, about }) => `${start} -a ${word} -d ${quote(about)}`),
      ...options.map((option) => {
        const name = option.word.replace(/^--/, '');
        return `${start} -l ${name}${VALUES[option.value](settings)} -d ${quote(option.about)}`;
      }),
    ];
  });
  return `# fish completion of tidemark
function __tidemark_at
  set -l place ''
  for word in (commandline -opc)[2..-1]
    switch "$place/$word"
      case ${inner.join(' ')}
        set place "$place/$word"
    end
  end
  test "$place" = "$argv[1]"
end
complete -c tidemark -f
${lines.join('\n')}
`;
}

const VALUES: Readonly<Record<CompletedOption['value'], (settings: string) => string>> = {
  none: () => '',
  path: () => ' -r -F',
  setting: (settings) => ` -x -a ${quote(settings)}`,
  any: () => ' -x',
};

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
