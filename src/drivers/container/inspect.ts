import type { Labels } from '../../process.js';
import type { MachineState } from '../driver.js';

/** The parts of what engines say of their things that are used here. All of it is read from JSON, field by field. */
export interface ContainerFacts {
  readonly id: string;
  readonly name: string;
  readonly labels: Labels;
  readonly status: string;
  /** Milliseconds since 1970, of the last start; 0 when the engine does not say. */
  readonly startedAt: number;
  /** Addresses by the name of the network; empty strings are left out. */
  readonly addresses: Readonly<Record<string, string>>;
  /** Host ports by `6443/tcp`. */
  readonly ports: Readonly<Record<string, { readonly host: string; readonly port: number }>>;
  readonly error: string;
}

export interface NetworkFacts {
  readonly id: string;
  readonly name: string;
  readonly labels: Labels;
  readonly subnets: readonly string[];
}

export interface VolumeFacts {
  readonly name: string;
  readonly labels: Labels;
  readonly mountpoint: string;
}

type Json = Readonly<Record<string, unknown>>;

/** An array of objects from the output of an `inspect`; empty for no output. @throws {SyntaxError} for what is no JSON */
export function parseObjects(text: string): Json[] {
  if (text.trim() === '') return [];
  const value: unknown = JSON.parse(text);
  return (Array.isArray(value) ? value : [value]).filter(isObject);
}

export function readContainer(value: Json): ContainerFacts {
  const config = object(value['Config']);
  const state = object(value['State']);
  const settings = object(value['NetworkSettings']);
  const networks = Object.entries(object(settings['Networks']));
  return {
    id: text(value['Id']),
    name: text(value['Name']).replace(/^\//, ''),
    labels: labels(config['Labels']),
    status: text(state['Status']),
    startedAt: Date.parse(text(state['StartedAt'])) || 0,
    addresses: Object.fromEntries(
      networks.flatMap(([name, network]) => {
        const address = text(object(network)['IPAddress']);
        return address === '' ? [] : [[name, address]];
      }),
    ),
    ports: Object.fromEntries(
      Object.entries(object(settings['Ports'])).flatMap(([key, bindings]) => {
        const first = object(Array.isArray(bindings) ? bindings[0] : undefined);
        const port = Number(text(first['HostPort']));
        return port > 0 ? [[key, { host: text(first['HostIp']) || '127.0.0.1', port }]] : [];
      }),
    ),
    error: text(state['Error']),
  };
}

/** Docker and Podman write networks in different ways. */
export function readNetwork(value: Json): NetworkFacts {
  const configs = array(object(value['IPAM'])['Config']).map((item) => text(object(item)['Subnet']));
  const subnets = array(value['subnets']).map((item) => text(object(item)['subnet']));
  return {
    id: text(value['Id']) || text(value['id']),
    name: text(value['Name']) || text(value['name']),
    labels: labels(value['Labels'] ?? value['labels']),
    subnets: [...configs, ...subnets].filter((subnet) => subnet !== ''),
  };
}

export function readVolume(value: Json): VolumeFacts {
  return { name: text(value['Name']), labels: labels(value['Labels']), mountpoint: text(value['Mountpoint']) };
}

/** `created` and `exited` are stopped; what an engine can not bring back by itself is broken. */
export function stateOfContainer(status: string): MachineState {
  switch (status) {
    case 'running':
      return 'running';
    case 'paused':
      return 'paused';
    case 'exited':
    case 'stopped':
      return 'stopped';
    default:
      return 'broken'; // created (a start that failed or was interrupted), dead, removing, restarting
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function object(value: unknown): Json {
  return isObject(value) ? value : {};
}

function array(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function labels(value: unknown): Labels {
  return Object.fromEntries(
    Object.entries(object(value)).flatMap(([key, item]) => (typeof item === 'string' ? [[key, item]] : [])),
  );
}
