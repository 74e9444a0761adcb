/** Access to values of unknown shape: what is missing or of another type is `undefined`, never an exception. */
export type JsonObject = Readonly<Record<string, unknown>>;

export function asObject(value: unknown): JsonObject | undefined {
  return isObject(value) ? value : undefined;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Only what the document itself holds: nothing inherited, whatever the key. */
export function field(object: JsonObject | undefined, key: string): unknown {
  return object !== undefined && Object.hasOwn(object, key) ? object[key] : undefined;
}

export function objectField(object: JsonObject | undefined, key: string): JsonObject | undefined {
  return asObject(field(object, key));
}

/** Text, or a number as text. */
export function textField(object: JsonObject | undefined, key: string): string | undefined {
  const value = field(object, key);
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined;
}

export function numberField(object: JsonObject | undefined, key: string): number | undefined {
  const value = field(object, key);
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

export function listField(object: JsonObject | undefined, key: string): readonly unknown[] {
  const value: unknown = field(object, key);
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

export function objectsField(object: JsonObject | undefined, key: string): readonly JsonObject[] {
  return listField(object, key).filter(isObject);
}

export function textsField(object: JsonObject | undefined, key: string): readonly string[] {
  return listField(object, key).filter((item) => typeof item === 'string');
}
