/* Node 18 may lack them; `using` of compilers looks for them under these names. Before everything else. */
const symbols = Symbol as { dispose?: symbol; asyncDispose?: symbol };

for (const name of ["dispose", "asyncDispose"] as const)
	if (!symbols[name]) Object.defineProperty(Symbol, name, { value: Symbol(`Symbol.${name}`) });

export {};
