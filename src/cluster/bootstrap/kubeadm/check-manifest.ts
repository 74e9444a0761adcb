import { isScalar, parseAllDocuments, type Document } from 'yaml';

/**
 * Why a text is no manifest: found before a node is made, and not once kubectl reads it.
 *
 * @returns `undefined` for documents of YAML or JSON of which each that is not empty has a kind
 */
export function problemOfManifest(text: string): string | undefined {
  const documents = [...parseAllDocuments(text, { uniqueKeys: false })].filter((document) => !isEmpty(document));
  if (documents.length === 0) return 'empty';
  for (const document of documents) {
    const [error] = document.errors;
    if (error !== undefined) return error.message.split('\n')[0]?.replace(/:$/, '') ?? 'no YAML';
    if (typeof document.get('kind') !== 'string') return 'a document without kind';
  }
  return undefined;
}

function isEmpty({ contents, errors }: Pick<Document, 'contents' | 'errors'>): boolean {
  return errors.length === 0 && (contents === null || (isScalar(contents) && contents.value === null));
}
