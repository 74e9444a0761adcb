import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { isMkCiError } from '../errors.js';
import { addOption } from './cluster-options.js';

const read = (...given: string[]): unknown =>
  given.reduce<Readonly<Record<string, unknown>>>((all, one) => addOption(one, all), {});

describe('addOption', () => {
  it('reads values as a configuration file has them', () => {
    expect(read('proxyMode=ipvs', 'cpus=2', 'defaultStorage=false', 'cni={ manifest: "a: 1" }')).toEqual({
      proxyMode: 'ipvs',
      cpus: 2,
      defaultStorage: false,
      cni: { manifest: 'a: 1' },
    });
    expect(read('nodeImage=a:b@sha256:0=', 'podSubnet=')).toEqual({ nodeImage: 'a:b@sha256:0=', podSubnet: '' });
  });

  it('collects what lies inside of one name, the last of two winning', () => {
    const given = [
      'extraArgs.kubelet.max-pods=200',
      'extraArgs.kubelet.v=2',
      'extraArgs.etcd.v=1',
      'extraArgs.kubelet.v=4',
    ];
    expect(read(...given)).toEqual({ extraArgs: { kubelet: { 'max-pods': 200, v: 4 }, etcd: { v: 1 } } });
    expect(read('a.b=1', 'a=2')).toEqual({ a: 2 });
    expect(read('a=[1]', 'a.b=1')).toEqual({ a: { b: 1 } });
    expect(read('constructor.name=x')).toEqual({ constructor: { name: 'x' } });
  });

  it.each(['proxyMode', '=1', '', 'a..b=1', '__proto__.x=1', 'a b=1', 'a=[1', 'a={', 'a="', 'a=*b'])(
    'refuses %j',
    (given) => {
      expect(() => read(given)).toThrow(expect.objectContaining({ code: 'CLI_USAGE' }));
    },
  );

  // What has a meaning in YAML, and little else.
  const signs = fc.constantFrom(...'* & ! | > % @ ` [ ] { } : , - ? # \' " \n \t 0 a é <'.split(' '), ' ');

  it('takes any text or says what is wrong with it', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string({ unit: signs }).map((value) => `a.b=${value}`),
        ),
        (given) => {
          try {
            read(given);
          } catch (error) {
            expect(isMkCiError(error, 'CLI_USAGE')).toBe(true);
          }
          expect(({} as Record<string, unknown>)['b']).toBeUndefined();
        },
      ),
    );
  });
});
