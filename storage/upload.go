package storage

import (
	"context"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob/s3blob"
	"golang.org/x/sync/errgroup"
)

const (
	contentType = "application/octet-stream"
	// partSize is that of the parts in which objects are written, partsOnce at a time.
	partSize  = 16 << 20
	partsOnce = 3
	// mostParts is how many of them S3 takes: those of a very large object are larger.
	mostParts = 10_000
	// partsGivenUp is how long it may take to remove the parts of an object that is not made.
	partsGivenUp = 3 * time.Second
)

// s3Writer writes objects of S3 from where their bytes lie. gocloud.dev's writer, which is
// given them one after the other, holds up to 100 MiB of each object to be able to send a part
// again, and copies every byte three times.
type s3Writer struct {
	client  *s3.Client
	bucket  string
	options s3blob.Options // what the URL says of encryption and checksums
}

// write is store.write, with the client's errors; what is not as wanted is refused by a status.
func (w *s3Writer) write(ctx context.Context, key string, r io.ReaderAt, size int64, want wanted) error {
	if size > partSize {
		return w.parts(ctx, key, r, size, want)
	}
	match, none := want.conditions()
	return sent(ctx, r, 0, size, func(ctx context.Context, body io.ReadSeeker) error {
		_, err := w.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &w.bucket, Key: &key, Body: body, ContentType: aws.String(contentType), IfMatch: match, IfNoneMatch: none,
			ChecksumAlgorithm: w.checksum(), ServerSideEncryption: w.options.EncryptionType, SSEKMSKeyId: w.kmsKey(),
		})
		return err
	})
}

// parts makes an object of several parts; an error leaves none of them.
func (w *s3Writer) parts(ctx context.Context, key string, r io.ReaderAt, size int64, want wanted) error {
	upload, err := w.begin(ctx, key)
	if err != nil {
		return err
	}
	list, err := w.send(ctx, key, upload, r, size)
	if err == nil {
		match, none := want.conditions()
		err = answered(ctx, func(ctx context.Context) error {
			_, err := w.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
				Bucket: &w.bucket, Key: &key, UploadId: upload, IfMatch: match, IfNoneMatch: none,
				MpuObjectSize: &size, MultipartUpload: &types.CompletedMultipartUpload{Parts: list},
			})
			return err
		})
	}
	if err == nil {
		return nil
	}
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), partsGivenUp)
	defer stop()
	// What is not given up here is by bucket.abort; the first error is the one to tell.
	_, _ = w.client.AbortMultipartUpload(late, &s3.AbortMultipartUploadInput{Bucket: &w.bucket, Key: &key, UploadId: upload})
	return err
}

// begin begins an object of several parts: an upload, which has a name of its own.
func (w *s3Writer) begin(ctx context.Context, key string) (upload *string, err error) {
	err = answered(ctx, func(ctx context.Context) error {
		begun, err := w.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: &w.bucket, Key: &key, ContentType: aws.String(contentType),
			ChecksumAlgorithm: w.checksum(), ServerSideEncryption: w.options.EncryptionType, SSEKMSKeyId: w.kmsKey(),
		})
		if err == nil {
			upload = begun.UploadId
		}
		return err
	})
	return upload, err
}

// send sends the parts, some at a time, each from its place in r.
func (w *s3Writer) send(ctx context.Context, key string, upload *string, r io.ReaderAt, size int64) ([]types.CompletedPart, error) {
	length := partLength(size)
	list := make([]types.CompletedPart, (size+length-1)/length)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(partsOnce)
	for i := range list {
		group.Go(func() error {
			at, number := int64(i)*length, aws.Int32(int32(i+1))
			return sent(ctx, r, at, min(length, size-at), func(ctx context.Context, body io.ReadSeeker) error {
				part, err := w.client.UploadPart(ctx, &s3.UploadPartInput{
					Bucket: &w.bucket, Key: &key, UploadId: upload, PartNumber: number, ChecksumAlgorithm: w.checksum(), Body: body,
				})
				if err == nil {
					list[i] = types.CompletedPart{PartNumber: number, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32}
				}
				return err
			})
		})
	}
	return list, group.Wait()
}

// partLength is that of all parts but the last of an object of so many bytes.
func partLength(size int64) int64 { return max(partSize, (size+mostParts-1)/mostParts) }

// conditions are S3's of what is wanted to be there: If-Match and If-None-Match.
func (w wanted) conditions() (match, none *string) {
	if w.fresh {
		none = aws.String("*")
	}
	if w.id != "" {
		match = &w.id
	}
	return match, none
}

// checksum is what requests carry of their bodies: none where the URL says that only what
// needs one has it, which some servers want.
func (w *s3Writer) checksum() types.ChecksumAlgorithm {
	if w.options.RequestChecksumCalculation == aws.RequestChecksumCalculationWhenRequired {
		return ""
	}
	return types.ChecksumAlgorithmCrc32
}

func (w *s3Writer) kmsKey() *string {
	if w.options.KMSEncryptionID == "" {
		return nil
	}
	return &w.options.KMSEncryptionID
}
