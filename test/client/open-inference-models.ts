// Written by `servable triton types`.

/** The models of a server, for OpenInferenceClient. */
export interface Models {
  readonly mlp: {
    readonly inputs: {
      /** FP32 [-1, 64] */
      readonly x: { readonly dataType: "FP32"; readonly shape: readonly [number, number] };
      /** BOOL [64] */
      readonly mask?: { readonly dataType: "BOOL"; readonly shape: readonly [number] };
    };
    readonly outputs: {
      /** FP32 [-1, 10] */
      readonly y: { readonly dataType: "FP32"; readonly shape: readonly [number, number] };
      /** FP16 [] */
      readonly "half scores": { readonly dataType: "FP16"; readonly shape: readonly [] };
    };
  };
  readonly "text-model": {
    readonly inputs: {
      /** BYTES [-1, 1] */
      readonly text: { readonly dataType: "BYTES"; readonly shape: readonly [number, number] };
    };
    readonly outputs: {
      /** INT64 [-1] */
      readonly length: { readonly dataType: "INT64"; readonly shape: readonly [number] };
    };
  };
}
