import fc from "fast-check";

/** The same examples in every run, so that a red run can be run again; `FC_SEED=$RANDOM npm test` tries others. */
fc.configureGlobal({ seed: Number(process.env.FC_SEED ?? 20_261_123) });
