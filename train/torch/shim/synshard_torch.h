/* The training engine's C interface. One symbol is exported, synshard_torch_v1;
 * it gives a table of functions.
 *
 * Every function returns SS_OK or another code and then writes one line of
 * explanation, always ended by NUL, into err (err_len bytes). Nothing is kept
 * between calls but what the engine handle holds; nothing is printed and no
 * environment is read. An engine is for one thread at a time, but for abort.
 * Pointers passed in need to live for the length of the call only. Steps are queued: on a GPU
 * the call returns while the device works, and collect waits for it. */
#ifndef SYNSHARD_TORCH_H
#define SYNSHARD_TORCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SS_ABI 13

enum ss_code {
	SS_OK = 0,
	SS_ERROR = 1,         /* libtorch refused; the message is its own */
	SS_BAD_ARGUMENT = 2,  /* the caller's mistake */
	SS_OUT_OF_MEMORY = 3, /* on the device; the engine is still good */
	SS_NO_DEVICE = 4,     /* this build or machine lacks the device */
	SS_LOST_PEER = 5      /* another process of the group is gone or did not come */
};

/* Operations; the numbers are model.Op's. */
enum ss_op {
	SS_INPUT = 0,
	SS_CONV,
	SS_BATCH_NORM,
	SS_RELU,
	SS_MAX_POOL,
	SS_AVG_POOL,
	SS_GLOBAL_AVG_POOL,
	SS_CONCAT,
	SS_ADD,
	SS_LINEAR,
	SS_DROPOUT,
	SS_LRN,
	SS_FLATTEN
};

enum ss_param_kind { SS_WEIGHT = 0, SS_BIAS, SS_BN_WEIGHT, SS_BN_BIAS, SS_RUNNING_MEAN, SS_RUNNING_VAR };
enum ss_precision { SS_FP32 = 0, SS_TF32, SS_BF16, SS_FP16 };
enum ss_optimizer { SS_RMSPROP = 0, SS_SGD, SS_ADAMW };

typedef struct ss_node {
	int32_t op, n_inputs;
	const int32_t *inputs; /* earlier nodes */
	int32_t kernel[2], stride[2], pad[2];
	int32_t size[2]; /* SS_GLOBAL_AVG_POOL: of the output; LRN: size[0] channels */
	int32_t bias, ceil_mode, count_include_pad;
	double eps, p;         /* BN; dropout's probability */
	double alpha, beta, k; /* LRN */
} ss_node;

typedef struct ss_param {
	const char *name;
	int32_t kind, node, rank;
	int64_t shape[4];
	/* Times the learning rate. 0 freezes it: it stays as it is, no gradient of it is computed and no average kept
	 * up to date; batch norm goes by frozen running statistics, as an evaluation does. */
	double rate;
} ss_param;

typedef struct ss_network {
	int32_t n_nodes, n_params, n_aux, logits, embedding, classes;
	const ss_node *nodes;
	const ss_param *params;
	const int32_t *aux;
	const double *aux_weight;
	const double *class_weight; /* [classes], above 0: of an image in the mean that a loss is; NULL: all alike */
} ss_network;

/* Where the processes of a group leave each other small values under names while they meet. It is the caller's: nothing
 * here listens or connects for it. number goes in and comes out. */
enum ss_store_op {
	SS_STORE_SET = 0,
	SS_STORE_GET,   /* waits until the name is there */
	SS_STORE_ADD,   /* number to a counter, written in decimal; gives the sum */
	SS_STORE_CHECK, /* number: 1 if the name is there */
	SS_STORE_DELETE,
	SS_STORE_COUNT
};

typedef struct ss_store_call {
	int32_t op;
	const char *key;
	const uint8_t *value;
	int64_t key_len, value_len, number;
	double timeout_s; /* of GET */
	uint8_t *out;     /* GET's value, from malloc, for the engine to free */
	int64_t out_len;
} ss_store_call;

typedef struct ss_store {
	uintptr_t context;
	/* From any thread, several at a time, until the engine is destroyed; after an abort, until the process ends. */
	int (*call)(uintptr_t context, ss_store_call *, char *err, size_t err_len);
} ss_store;

typedef struct ss_config {
	const char *device; /* cpu, cuda, cuda:N */
	int32_t precision, threads, channels_last, optimizer, nesterov, ema;
	double momentum, rho, eps, beta1, beta2, weight_decay, label_smoothing;
	double clip_norm, clip_value, bn_momentum; /* a clip of 0 is none */
	double mean[3], std[3];                    /* of images scaled to 0..1 */
	int32_t recompute; /* keep few activations, compute the rest again in the backward pass */
	int32_t unfused;   /* plain operations instead of fused ones: what the fused are held to */
	/* On a GPU: algorithms by rule and not by the clock, so that the same steps give the same bits; slower. The
	 * CPU's are so anyway, for one count of threads. */
	int32_t deterministic;
	/* On a GPU, where the clock chooses: cuDNN's plans that are tried for each convolution, the first ones by its
	 * own order; 0: all. */
	int32_t plans;
	/* A step that could be recorded but for want of memory is SS_OUT_OF_MEMORY, and not taken without a recording:
	 * for trying what fits. */
	int32_t must_record;
	/* Several processes: gradients are summed over all of them, so each scales its own (grad_scale); running
	 * statistics are averaged. host is this process's own address, where alone it listens for the others (but NCCL
	 * chooses by its own rules). world 0 or 1: alone, and the rest is not read. */
	int32_t rank, world;
	const char *host;
	ss_store store;
	double timeout_s;
} ss_config;

typedef struct ss_batch {
	const uint8_t *images; /* [rows, size, size, 3] */
	const int64_t *labels; /* [rows]; -1: no part in loss or count */
	/* Of images that are mixtures, in a step: the label of what is mixed in, -1 where labels has it, and the share,
	 * 0 to 1, of the label in labels. NULL, both: none is. */
	const int64_t *others; /* [rows] */
	const float *shares;   /* [rows] */
	int32_t rows, size;    /* size may differ from batch to batch, as the network allows */
} ss_batch;

typedef struct ss_step {
	uint64_t seed; /* dropout is a function of it */
	double lr, ema_decay;
	double grad_scale; /* of this batch's mean loss in the update */
	double row_share;  /* of its labelled rows among the step's, which is grad_scale without class weights */
	int32_t update;    /* 0: only add to the gradients */
	int32_t freeze_bn; /* 1: batch norm by its running statistics, which stay */
} ss_step;

typedef struct ss_metrics {
	double loss, main_loss, aux_loss, grad_norm;
	/* The main head's, without label smoothing and class weights: what an evaluation's loss is the sum of. */
	double cross_entropy;
	int64_t correct, counted;
	int32_t skipped; /* 1: fp16 overflow, no update made */
	double loss_scale;
	/* Seconds the host spent. On a GPU whose steps are queued forward_s is the queueing and update_s the wait for
	 * the device. group_s is what was waited for other processes after the backward pass; exchange_s is how long
	 * gradients or statistics were on their way to and from them, much of it during that pass. */
	double forward_s, backward_s, group_s, update_s, exchange_s;
	/* In a group, of the microbatch that updates: what the whole step found, all its microbatches and all processes
	 * together, losses being means by the grad_scale of each, and the cross entropy by its row_share. It is summed
	 * before the update is made. */
	double group_loss, group_main_loss, group_aux_loss, group_cross_entropy;
	int64_t group_correct;
} ss_metrics;

typedef struct ss_eval {
	int64_t n, top1, top5;
	double loss; /* sum over n */
} ss_eval;

/* A store of libtorch's that a launcher keeps at addr:port, and the name under which a group uses it. */
typedef struct ss_meeting {
	const char *addr, *name;
	int32_t port, rank;
	double timeout_s;
} ss_meeting;

/* What a prediction is to hold of each row. */
enum ss_wanted { SS_PROBABILITIES = 1, SS_LOGITS = 2, SS_EMBEDDING = 4 };

/* Where it goes; NULL: nowhere. It must have been wanted. */
typedef struct ss_predictions {
	float *probabilities, *logits; /* [rows, classes], of the main head */
	float *embedding;              /* [rows, width]; width is the embedding node's elements */
	int32_t rows, classes, width;
} ss_predictions;

/* A prediction begun and not ended. */
typedef struct ss_prediction ss_prediction;

typedef struct ss_engine ss_engine;

typedef struct ss_api {
	uint32_t abi;
	const char *torch_version;
	int (*device_count)(int32_t *cuda, char *err, size_t err_len);
	int (*create)(const ss_network *, const ss_config *, ss_engine **, char *err, size_t err_len);
	void (*destroy)(ss_engine *);
	/* A microbatch begun, and what the oldest one begun and not yet collected found. Where one fails its step is
	 * undone: what the step's earlier microbatches found is not collected. */
	int (*queue)(ss_engine *, const ss_batch *, const ss_step *, char *err, size_t err_len);
	int (*collect)(ss_engine *, ss_metrics *, char *err, size_t err_len);
	int (*evaluate)(ss_engine *, const ss_batch *, int32_t ema, ss_eval *, char *err, size_t err_len);
	/* A prediction of the batch's rows, begun: the batch's memory is free again, on a GPU while the device works.
	 * Several may be under way, the copy of one beside the computation of another. */
	int (*predict_begin)(ss_engine *, const ss_batch *, int32_t ema, int32_t wanted, ss_prediction **, char *err,
		size_t err_len);
	/* Waits for it, gives what it holds and frees it, whatever comes of that. From any thread, before the engine is
	 * destroyed. */
	int (*predict_end)(ss_prediction *, const ss_predictions *out, char *err, size_t err_len);
	/* Names are the parameters', and ema/NAME and opt/SLOT/NAME; get has low/NAME as well, for tests: a weight as
	 * the next step's convolutions read it, where it is kept so. float32, row-major; n elements. */
	int (*get)(ss_engine *, const char *name, float *out, int64_t n, char *err, size_t err_len);
	int (*set)(ss_engine *, const char *name, const float *in, int64_t n, char *err, size_t err_len);
	/* The optimiser's slots, ended by NULL; they live as long as the engine. */
	const char *const *(*slots)(ss_engine *);
	/* Adam's count of updates and fp16's loss scale. */
	int (*get_scalars)(ss_engine *, int64_t *updates, double *loss_scale, char *err, size_t err_len);
	int (*set_scalars)(ss_engine *, int64_t updates, double loss_scale, char *err, size_t err_len);
	/* For tests. logits and aux are [rows, classes]; aux may be NULL. inputs is float [rows, 3, size, size] or
	 * NULL. */
	int (*forward)(ss_engine *, const float *inputs, const ss_batch *, int32_t train, uint64_t seed, float *logits,
		float **aux, char *err, size_t err_len);
	int (*gradient)(ss_engine *, const char *name, float *out, int64_t n, char *err, size_t err_len);
	/* Pinned memory for batches, where a GPU trains; it is freed by its handle. */
	int (*pin_alloc)(size_t n, void **out, void **handle, char *err, size_t err_len);
	void (*pin_free)(void *handle);
	/* Bytes held and the most that were, since the process began or memory was counted anew: of device memory with
	 * what recorded steps keep and what is kept for the next ones; on the CPU of this process's tensors. */
	int (*memory)(ss_engine *, int64_t *now, int64_t *peak, char *err, size_t err_len);
	/* Counts the most from here, on a GPU without what is kept unused: after the first steps, in which algorithms
	 * were tried in memory that is not needed again. */
	int (*count_memory_anew)(ss_engine *, char *err, size_t err_len);
	/* The sum over the group's processes, in place; every process must call. Alone it changes nothing. */
	int (*sum)(ss_engine *, double *values, int64_t n, char *err, size_t err_len);
	/* How steps are computed, or predictions where there were any, in a few words; it lives until the next call. */
	const char *(*note)(ss_engine *);
	/* For tests: compiles the GPU's kernels for a compute capability (90 for 9.0), which needs no device. */
	int (*compile_kernels)(int32_t capability, char *err, size_t err_len);
	/* Rank 0 leaves its word (n bytes, ended by NUL) in a launcher's store; the others wait for it. */
	int (*meet)(const ss_meeting *, char *word, size_t n, char *err, size_t err_len);
	/* Ends the exchange that is under way, and any later one, with SS_LOST_PEER: for when a process of the group is
	 * known to be lost. From any thread. */
	void (*abort)(ss_engine *);
	/* What tells a card of this machine from every other card there is, of less than n bytes with the NUL. */
	int (*card)(int32_t device, char *id, size_t n, char *err, size_t err_len);
	/* Bytes of its memory, and how many of them nobody holds. */
	int (*card_memory)(int32_t device, int64_t *free, int64_t *total, char *err, size_t err_len);
	/* Its compute capability: 75 for 7.5. */
	int (*card_capability)(int32_t device, int32_t *capability, char *err, size_t err_len);
	/* Tells a profiler that waits to be told (cudaProfilerStart, cudaProfilerStop) that what follows on the card,
	 * once what was begun has ended, is to be recorded, or no longer. */
	int (*profile)(int32_t device, int32_t on, char *err, size_t err_len);
} ss_api;

const ss_api *synshard_torch_v1(void);

#ifdef __cplusplus
}
#endif
#endif
