#include "webp.h"

#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "resample.h"

static int code(VP8StatusCode status) {
	switch (status) {
	case VP8_STATUS_OK:
		return PX_OK;
	case VP8_STATUS_NOT_ENOUGH_DATA:
	case VP8_STATUS_SUSPENDED:
		return PX_TRUNCATED;
	case VP8_STATUS_OUT_OF_MEMORY:
		return PX_MEMORY;
	default:
		return PX_MALFORMED;
	}
}

int px_webp_probe(const uint8_t *data, size_t n, px_webp_info *info) {
	WebPBitstreamFeatures f;
	VP8StatusCode status = WebPGetFeatures(data, n, &f);
	if (status != VP8_STATUS_OK)
		return code(status);
	*info = (px_webp_info){.width = f.width, .height = f.height, .alpha = f.has_alpha, .animated = f.has_animation};
	return PX_OK;
}

static int first_frame(const uint8_t *data, size_t n, uint8_t *out, size_t size) {
	WebPData file = {.bytes = data, .size = n};
	WebPAnimDecoderOptions options;
	if (!WebPAnimDecoderOptionsInit(&options))
		return PX_MALFORMED;
	options.color_mode = MODE_RGBA;
	WebPAnimDecoder *decoder = WebPAnimDecoderNew(&file, &options);
	// The demuxer wants all frames; where the last ones are missing the file is cut off.
	if (!decoder) {
		WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
		WebPDemuxer *partial = WebPDemuxPartial(&file, &state);
		WebPDemuxDelete(partial);
		return state >= WEBP_DEMUX_PARSING_HEADER && state < WEBP_DEMUX_DONE ? PX_TRUNCATED : PX_MALFORMED;
	}
	uint8_t *frame;
	int at, result = PX_MALFORMED;
	WebPAnimInfo canvas;
	if (WebPAnimDecoderGetInfo(decoder, &canvas) &&
		(size_t)canvas.canvas_width * canvas.canvas_height * 4 == size &&
		WebPAnimDecoderGetNext(decoder, &frame, &at)) {
		memcpy(out, frame, size);
		result = PX_OK;
	}
	WebPAnimDecoderDelete(decoder);
	return result;
}

int px_webp_decode(const uint8_t *data, size_t n, const px_webp_info *info, uint8_t *out, size_t size) {
	if (info->animated)
		return first_frame(data, n, out, size);
	WebPDecoderConfig config;
	if (!WebPInitDecoderConfig(&config))
		return PX_MALFORMED;
	config.output.colorspace = info->alpha ? MODE_RGBA : MODE_RGB;
	config.output.is_external_memory = 1;
	config.output.u.RGBA =
		(WebPRGBABuffer){.rgba = out, .stride = info->width * (info->alpha ? 4 : 3), .size = size};
	VP8StatusCode status = WebPDecode(data, n, &config);
	WebPFreeDecBuffer(&config.output);
	return code(status);
}
