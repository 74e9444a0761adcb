import { execFileSync } from 'node:child_process';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { argvOf, expandVariables, nameVariables, splitCommand } from './command-words.js';

describe('splitCommand', () => {
  it('splits words and quotes as a shell does', () => {
    expect(splitCommand(`go test -run 'Test A' "./x y"/... a\\ b`)).toEqual([
      'go',
      'test',
      '-run',
      'Test A',
      './x y/...',
      'a b',
    ]);
    expect(splitCommand('  go   test  ')).toEqual(['go', 'test']);
    expect(splitCommand(`a '' b`)).toEqual(['a', '', 'b']);
  });

  it('turns assignments in front into env', () => {
    expect(splitCommand('GOFLAGS=-mod=mod go test ./...')).toEqual(['env', 'GOFLAGS=-mod=mod', 'go', 'test', './...']);
  });

  it('takes variables that mk-ci sets without quotes too, and leaves those of others to the shell', () => {
    const words = splitCommand('pytest --junit-xml=$ARTIFACTS/a.xml ${MK_CI_SHARD}of$MK_CI_SHARDS');
    const env = { ARTIFACTS: '/r/a b', MK_CI_SHARD: '1', MK_CI_SHARDS: '2' };
    expect(words && expandVariables(words, env)).toEqual(['pytest', '--junit-xml=/r/a b/a.xml', '1of2']);
    for (const text of ['a $ARTIFACTS_OF_OTHERS', 'a ${ARTIFACTS:-x}', 'a $PATH', 'a $', 'a ${ARTIFACTS']) {
      expect([text, splitCommand(text)]).toEqual([text, undefined]);
    }
  });

  it.each([
    'a | b',
    'a && b',
    'a; b',
    'a > f',
    'echo $HOME',
    'echo `id`',
    'ls *.go',
    "a 'b",
    'a "$(b)"',
    'a "${b:-c}"',
    '(a)',
    'a\nb',
    '',
    'a \\',
    '~/x y',
    '# a',
  ])('leaves %j to the shell', (text) => {
    expect(splitCommand(text)).toBeUndefined();
  });

  it('agrees with sh on whatever it splits', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', 'b', ' ', "'", '"', '\\', '=', '-', '#', '/', '.', '~', '\t'), { maxLength: 12 }),
        (characters) => {
          const text = `p ${characters.join('')}`;
          const words = splitCommand(text);
          if (words === undefined) return;
          const shell = execFileSync('/bin/sh', ['-c', `p() { for w; do printf '%s\\0' "$w"; done; }; ${text}`], {
            encoding: 'utf8',
          });
          expect(words.slice(1)).toEqual(shell.split('\0').slice(0, -1));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('starts a string through sh and a list as it is', () => {
    expect(argvOf('a | b')).toEqual(['/bin/sh', '-c', 'a | b']);
    expect(argvOf(['a', 'b c'])).toEqual(['a', 'b c']);
  });
});

describe('expandVariables', () => {
  it('fills in variables in double quotes with the values of the attempt', () => {
    const words = splitCommand('npx vitest run --outputFile.json="$ARTIFACTS/v.json" "${A}b$C" \'$D\'');
    expect(expandVariables(words!, { ARTIFACTS: '/a b', A: 'x' })).toEqual([
      'npx',
      'vitest',
      'run',
      '--outputFile.json=/a b/v.json',
      'xb',
      '$D',
    ]);
  });

  it('leaves their names where a command is shown', () => {
    expect(nameVariables(splitCommand('jest --outputFile="${ARTIFACTS}/x.json"')!)).toEqual([
      'jest',
      '--outputFile=$ARTIFACTS/x.json',
    ]);
  });
});
