import { parse } from 'yaml';

import { MkCiError, messageOf } from '../errors.js';

type Options = Readonly<Record<string, unknown>>;

/** A name, then names inside of it: what an `=` separates from a value, which may contain anything. */
const OPTION = /^(?<path>[A-Za-z][\w-]*(?:\.[A-Za-z0-9][\w-]*)*)=(?<value>.*)$/s;

/**
 * Adds one of `--option` to those before it: `proxyMode=ipvs`, or with dots what lies inside, as in
 * `extraArgs.kubelet.max-pods=200`. The value is read as in `mk-ci.yaml`. Pure.
 *
 * @throws {MkCiError} `CLI_USAGE`
 */
export function addOption(given: string, before: Options): Options {
  const { path, value } = OPTION.exec(given)?.groups ?? {};
  if (path === undefined || value === undefined) {
    throw new MkCiError('CLI_USAGE', {
      message: `'${given}' is not name=value`,
      advice: 'Such as --option proxyMode=ipvs or --option extraArgs.kubelet.max-pods=200.',
    });
  }
  return insert(before, path.split('.'), readValue(path, value));
}

function readValue(path: string, value: string): unknown {
  if (value === '') return value;
  try {
    return parse(value, { logLevel: 'error' }) as unknown;
  } catch (error) {
    throw new MkCiError('CLI_USAGE', {
      message: `the value of '${path}' can not be read: ${messageOf(error).split('\n')[0] ?? ''}`,
      advice: 'It is read as YAML; put quotes around what has signs with a meaning there.',
      cause: error,
    });
  }
}

function insert(into: Options, [name = '', ...rest]: readonly string[], value: unknown): Options {
  if (rest.length === 0) return { ...into, [name]: value };
  const inner = Object.hasOwn(into, name) ? into[name] : {};
  const isRecord = typeof inner === 'object' && inner !== null && !Array.isArray(inner);
  return { ...into, [name]: insert(isRecord ? { ...inner } : {}, rest, value) };
}
