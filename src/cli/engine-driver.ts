/** How the journal calls what `run --engine=kubernetes` makes. */
export const ENGINE_DRIVER = 'kubernetes';
