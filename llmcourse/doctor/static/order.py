"""The order of the checks: that of their sections on the page, and of findings on one line.

It stays when a check moves to another room, so that the page stays as it is. A code that is not
here comes after those that are: a new check need not be added.
"""

_CODES = """
inputs-by-position wrapper-takes-keywords two-lengths seed-without-sampling sampling-ignored
temperature-too-low one-candidate beam-settings-ignored same-seed-each-call counts-prompt
prompt-cut-by-characters piecewise-decoding output-is-a-tensor encoding-has-no-shape
raw-tokens-joined scores-are-processed embeds-output-sliced cache-without-ids cache-already-filled
loop-without-no-grad logits-not-shifted mask-does-not-grow cache-not-fed-back no-cache
processor-returns-none stateful-processor stop-reads-the-prompt quantized-cast
gradient-checkpointing-left-on settings-in-model-config config-without-weights
generation-prompt-misplaced prompt-in-output streamer-timeout no-generation-prompt doubled-bos
tokenizer-method-gone bad-words-one-spelling stop-ids-never-match stop-ids-begin-a-text
trailing-space answers-not-kept history-not-passed message-twice prompt-in-history
control-token-in-message thinking-half-marked parse-without-prefix tool-without-schema
template-argument-ignored tokenizer-argument-ignored placeholder-left text-pair content-not-text
unknown-role tool-call-miswritten argument-of-wrong-kind refused min-beyond-limit penalty-rewards
beam-sampling end-token-banned eos-from-encode zero-taken-for-unset config-never-used
seed-of-another-library rows-per-prompt rows-left-unread criterion-of-one-row loading-argument
loaded-in-a-loop tokenizer-of-another-model placed-twice pickle-of-strangers four-bits-in-32
result-dropped end-masked-in-training adapter-without-effect judged-by-teacher-forcing
embedding-size ignored-labels-decoded stream-never-fed stream-read-late pipeline-chat-as-text
over-the-wrong-axis draw-from-logits softmax-twice temperature-misapplied place-taken-for-id
top-p-misbuilt top-k-misbuilt removed-by-zero penalty-divides-negative draw-not-renormalized
min-p-misbuilt text-fed-again cache-keeps-rejected logits-of-padding padding-in-the-loss
labels-shifted-twice one-row-ends-all cache-of-another-prompt end-never-matches lens-without-norm
norm-twice mean-over-padding decode-argument-unknown answer-cut-elsewhere split-by-a-mark
scores-begin-after-prompt transition-scores-raw words-counted-as-tokens first-id-of-a-word
windows-overlap tokens-counted-anew cache-not-reordered filter-left-sorted cache-with-a-gap
sequence-scores-averaged loss-times-all-tokens hidden-states-misaligned limit-taken-for-count
misspelt-setting criterion-never-true criterion-of-wrong-form stop-word-in-one-token
stop-string-with-backslash prompt-cut-twice piece-cut-as-whole continuation-stripped
needed-token-skipped output-not-asked-for steps-taken-for-rows steps-are-no-tensor
beam-scores-by-row step-taken-for-layer scores-of-padding logits-not-normalized
loss-wants-log-probabilities perplexity-misbuilt largest-loss-chosen loss-taken-for-logits
mask-not-shifted log-probabilities-in-half processor-of-one-row processor-picks-rows
processor-returns-no-scores processor-changes-a-copy forced-by-infinity processor-not-called
criterion-reads-scores list-of-no-list processor-counts-prompt allowed-reads-a-batch
allowed-counts-prompt allowed-returns-no-ids answer-without-its-space compared-with-its-space
least-likely-first pattern-stops-at-line-end flags-as-count number-without-digit
number-with-commas cut-at-minus-one json-cut-at-first-brace answer-evaluated quotes-made-json
strip-takes-characters answer-form-assumed first-line-empty label-inside-words case-never-matches
case-not-folded answer-compared-whole found-in-the-prompt stream-read-twice stream-left-running
streamer-of-another-kind blocks-the-event-loop streamer-shared streamer-without-end
prompt-put-first piece-yielded-alone length-in-other-units prompt-counted-as-new
pipeline-lists-in-lists pipeline-without-tokenizer pipeline-loads-nothing batch-of-one
logits-decoded argmax-of-every-place observation-made-up first-call-only agent-without-limit
last-batch-dropped order-not-restored length-of-another-thing characters-cut-as-tokens
format-without-place braces-in-template header-differs history-shared system-trimmed
message-not-appended answer-as-user rendered-in-pieces tools-forgotten tool-result-without-call
message-unpacked decoded-batch-as-text adapter-changes-the-base merged-into-quantized
adapter-not-set new-tokens-not-trained speculation-misbuilt guidance-misbuilt beam-scores-misbuilt
inputs-on-another-device timed-before-done entropy-is-nan mean-of-mean-losses model-without-head
generate-of-a-wrapper never-called mask-inverted mean-counts-masked cat-along-the-batch
logits-of-another-place ends-not-kept item-of-a-batch eval-mode-left-on end-never-taught
prompt-in-the-loss no-gradient-through-generate padding-counted end-looked-for-at-the-last
"""
PLACES = {code: place for place, code in enumerate(_CODES.split())}


def place_of(code: str) -> int:
    """Return where a code stands in the order: the end for a new one."""
    return PLACES.get(code, len(PLACES))
